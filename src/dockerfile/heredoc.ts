import { lexWords, rawWords } from './expand.ts'

/** The start of a heredoc, as a word: `3<<-"EOF"`. */
export interface HeredocWord {
  readonly name: string
  readonly fd: number
  readonly chomp: boolean
  /** False where any part of the name is quoted. An escape does not count, other than in a shell. */
  readonly expand: boolean
}

/** Reads one word; undefined if it starts no heredoc. The escape in the name is `\`, whatever the directive says. */
export function heredocWord(word: string): HeredocWord | undefined {
  const match = /^(\d*)<<(-?)([\s\S]*)$/.exec(word)
  if (match === null) return undefined
  const [, fd = '', dash, rest = ''] = match
  const name = rest.replace(/^[\t\n\f\r ]+/, '')
  if (name === '' || name.includes('<')) return undefined
  let words: string[]
  let quoted: string[]
  try {
    words = lexWords(name, { keepUnset: true })
    quoted = lexWords(name, { keepUnset: true, quotes: 'kept' })
  } catch {
    return undefined // An open quote: text of a shell, no name.
  }
  const [only] = words
  const [raw] = quoted
  if (words.length !== 1 || only === undefined || raw === undefined) return undefined
  return { name: only, fd: Number(fd), chomp: dash === '-', expand: countQuotes(only) === countQuotes(raw) }
}

/** The heredocs that a line of RUN, COPY or ADD starts, in order. */
export function heredocsOf(line: string): HeredocWord[] {
  if (!line.includes('<<')) return []
  return (rawWords(line) ?? []).flatMap((word) => heredocWord(word) ?? [])
}

/** Strips the leading tabs of each line: what `<<-` does. */
export function stripTabs(body: string): string {
  return body.replace(/(^|\n)\t+/g, '$1')
}

function countQuotes(text: string): number {
  return text.split(/["']/).length - 1
}
