import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { fileError, readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import type { Settings } from '../settings.ts'

/** The passphrase of a key, from a file or from the environment: an argument could be read by others. */
export async function passphraseOf(file: string | undefined, settings: Settings): Promise<string | undefined> {
  if (file === undefined) return settings.env['COSIGN_PASSWORD']
  return (await readNamed(file, settings)).toString().replace(/\r?\n$/, '')
}

/** A small file that a flag or an operand names. @throws StaveError */
export async function readNamed(file: string, settings: Settings): Promise<Buffer> {
  try {
    return await readWholeFile(resolve(settings.cwd, file), limit.jsonBytes, { mayBePipe: true })
  } catch (error) {
    throw fileError(error, `read ${file}`)
  }
}

/** An image in a registry, as `docker://NAME` or a bare name. */
export function registryName(text: string, verb: string): string {
  const [, transport, rest] = /^([a-z][a-z-]*):(?!\d+(?:\/|$))(.*)$/s.exec(text) ?? []
  if (transport !== undefined && transport !== 'docker')
    throw new StaveError('usage', `cannot ${verb} ${text}: only images in registries have signatures`, { hint: 'Write docker://NAME.' })
  return (rest ?? text).replace(/^\/\//, '')
}
