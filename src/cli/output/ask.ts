import { Writable } from 'node:stream'
import { StaveError } from '#error.ts'

/** What a person is asked on the terminal. */
export interface Question {
  readonly text: string
  /** Nothing is shown of the answer. */
  readonly secret: boolean
}

/**
 * Asks on the terminal, one after the other. All in one sitting: between two readers the terminal would show what is typed
 * ahead, and that may be the secret.
 *
 * @throws StaveError `usage` without a terminal, `cancelled` by Ctrl-C or Ctrl-D
 */
export async function ask(questions: readonly Question[], hint: string): Promise<readonly string[]> {
  if (!process.stdin.isTTY) throw new StaveError('usage', 'cannot ask: there is no terminal', { hint })
  const { createInterface } = await import('node:readline')
  let isSilent = false
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (!isSilent) process.stderr.write(chunk)
      done()
    },
  })
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  const answers: string[] = []
  try {
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        const question = questions[answers.length]
        if (question === undefined) return resolve()
        process.stderr.write(question.text)
        isSilent = question.secret
      }
      // At once, while the rest of what was typed is still to be read: it may be the secret.
      lines.on('line', (line) => {
        if (isSilent) process.stderr.write('\n')
        isSilent = false
        answers.push(line)
        next()
      })
      lines.once('SIGINT', () => lines.close())
      lines.once('close', () => reject(new StaveError('cancelled', 'cancelled')))
      next()
    })
    return answers
  } finally {
    isSilent = true
    lines.close()
  }
}

/** Asks for yes or no, on the terminal that there is; everything but yes is no. */
export async function confirm(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    return /^y(es)?$/i.test((await Promise.race([lines.question(`${question} [y/N] `), closed])).trim())
  } finally {
    lines.close()
  }
}
