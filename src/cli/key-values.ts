import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { readSmallFileSync } from '#image/file.ts'
import * as limit from '#limit.ts'
import type { Settings } from './settings.ts'

/** `K=V` words as a record; a later one wins. @throws StaveError `usage` where a key is missing */
export function keyValues(words: readonly string[], flag: string): Record<string, string> {
  const record: Record<string, string> = {}
  for (const word of words) {
    const equals = word.indexOf('=')
    const key = equals < 0 ? word : word.slice(0, equals)
    if (key === '') throw new StaveError('usage', `${flag} takes K=V, not ${JSON.stringify(word)}`)
    record[key] = equals < 0 ? '' : word.slice(equals + 1)
  }
  return record
}

/** `K=V`, or `K` for the value of the caller's environment (and nothing where that has none), as Docker's `-e`. */
export function environmentWords(words: readonly string[], settings: Settings): string[] {
  return words.flatMap((word) => {
    if (word === '' || word.startsWith('=')) throw new StaveError('usage', `--env takes K=V, not ${JSON.stringify(word)}`)
    if (word.includes('=')) return [word]
    const value = settings.env[word]
    return value === undefined ? [] : [`${word}=${value}`]
  })
}

/** Lines of an env file: `K=V` or `K`, `#` comments; values are taken as they stand, quotes too. */
export function readEnvFile(file: string, settings: Settings): string[] {
  return environmentWords(readLabelFile(file, settings), settings)
}

/** Lines of a label file: `K=V` or `K`, in the same form. */
export function readLabelFile(file: string, settings: Settings): string[] {
  const lines = readSmallFile(file, settings, limit.jsonBytes).split('\n')
  const words = lines.map((line) => line.replace(/\r$/, '').trimStart()).filter((line) => line !== '' && !line.startsWith('#'))
  const bad = words.find((word) => /\s/.test(word.split('=')[0]!))
  if (bad !== undefined) throw new StaveError('usage', `cannot read ${file}: the name in ${JSON.stringify(bad)} has white space`)
  return words
}

/** A file that a flag names. @throws StaveError `not-found`, `permission`, `too-large` */
export function readSmallFile(file: string, settings: Settings, most: number): string {
  try {
    return readSmallFileSync(resolve(settings.cwd, file), most, { mayBePipe: true }).toString('utf8')
  } catch (cause) {
    if (cause instanceof StaveError) throw cause
    throw new StaveError((cause as NodeJS.ErrnoException).code === 'EACCES' ? 'permission' : 'not-found', `cannot read ${file}`, { cause })
  }
}
