import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { fileError } from '#image/file.ts'
import { generateKeys } from '#trust/key.ts'
import type { Invocation } from '../command.ts'
import { ask } from '../output/ask.ts'
import type { keyFlags } from './commands.ts'
import { passphraseOf } from './passphrase.ts'

/** Writes two files that must not be there, the private one for its owner alone. */
export async function run({ flags, settings, report }: Invocation<typeof keyFlags>): Promise<void> {
  const prefix = flags['output-prefix']
  if (prefix === undefined) throw new StaveError('usage', 'stave generate-sigstore-key: --output-prefix is missing')
  const passphrase = (await passphraseOf(flags['passphrase-file'], settings)) ?? (await asked())
  const { privatePem, publicPem } = await generateKeys(passphrase)
  await write(resolve(settings.cwd, `${prefix}.private`), privatePem, 0o600)
  await write(resolve(settings.cwd, `${prefix}.pub`), publicPem, 0o644)
  report.note(`Key written to ${prefix}.private and ${prefix}.pub`)
}

async function asked(): Promise<string> {
  const questions = ['Passphrase for the private key: ', 'Once more: '].map((text) => ({ text, secret: true }))
  const [passphrase = '', again] = await ask(questions, 'Give it in a file: --passphrase-file.')
  if (again !== passphrase) throw new StaveError('usage', 'the two passphrases differ')
  return passphrase
}

async function write(path: string, text: string, mode: number): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode)
    await handle.writeFile(text)
    await handle.close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new StaveError('conflict', `cannot write ${path}: it is there already`, {
        hint: 'A key that is overwritten is lost: choose another prefix.',
      })
    }
    throw fileError(error, `write ${path}`)
  }
}
