import { StaveError } from '#error.ts'
import { parseBytes } from '#text/size.ts'
import { readDuration } from '#text/duration.ts'
import { didYouMean } from '#text/suggest.ts'
import { isRecord, Replacement, type Path, type Source } from './document.ts'
import { splitWords } from './words.ts'

/** Reads a value in one of the forms that it may have, and gives it in the one that is used from there on. */
export type Reader<T = unknown> = (value: unknown, at: At) => T

/** A place in a file. */
export interface At {
  readonly source: Source
  readonly path: Path
}

export function below(at: At, ...keys: Path): At {
  return { source: at.source, path: [...at.path, ...keys] }
}

export function wrong(at: At, problem: string, options?: { readonly hint?: string; readonly cause?: unknown }): StaveError {
  return at.source.fail(at.path, problem, options)
}

/** Fields in a table: what is not there stays away, what nobody knows is an error unless it begins with `x-`. */
export function fields<T>(table: { readonly [K in keyof T]-?: Reader<T[K]> }): Reader<T> {
  const readers = table as Readonly<Record<string, Reader>>
  return (value, at) => {
    if (value === null || value === undefined) return {} as T
    if (!isRecord(value)) throw wrong(at, 'it is not a map')
    const result: Record<string, unknown> = {}
    for (const [name, part] of Object.entries(value)) {
      if (name.startsWith('x-')) continue
      const reader = Object.hasOwn(readers, name) ? readers[name] : undefined
      if (reader === undefined) {
        const hint = didYouMean(name, Object.keys(readers))
        throw wrong(below(at, name), 'there is no such field', hint === undefined ? {} : { hint })
      }
      result[name] = replaceable(reader)(part, below(at, name))
    }
    return result as T
  }
}

function replaceable(reader: Reader): Reader {
  return (value, at) =>
    value instanceof Replacement ? new Replacement(value.value === undefined ? undefined : reader(value.value, at)) : reader(value, at)
}

export const text: Reader<string> = (value, at) => {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw wrong(at, 'it is not a text')
}

/** A text, or null. */
export const optionalText: Reader<string | null> = (value, at) => (value === null ? null : text(value, at))

export const truth: Reader<boolean> = (value, at) => {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') {
    if (/^(true|yes|on|y|1)$/i.test(value)) return true
    if (/^(false|no|off|n|0|)$/i.test(value)) return false
  }
  throw wrong(at, 'it is neither true nor false')
}

export const number: Reader<number> = (value, at) => {
  const read = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof read === 'number' && Number.isFinite(read)) return read
  throw wrong(at, 'it is not a number')
}

export const whole: Reader<number> = (value, at) => {
  const read = typeof value === 'string' && /^0[0-7]+$/.test(value) ? Number.parseInt(value, 8) : number(value, at)
  if (Number.isSafeInteger(read)) return read
  throw wrong(at, 'it is not a whole number')
}

export const duration: Reader<string> = (value, at) => {
  const typed = text(value, at)
  if (readDuration(typed) === undefined) throw wrong(at, `${JSON.stringify(typed)} is no duration`, { hint: 'Write 10s or 1m30s.' })
  return typed
}

export const size: Reader<string> = (value, at) => {
  const typed = text(value, at)
  if (typed !== '-1') guarded(at, () => parseBytes(typed, at.path.at(-1)?.toString() ?? ''))
  return typed
}

/** What a reader of another room says, at this place. */
export function guarded<T>(at: At, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    throw wrong(at, error.message, { cause: error, ...(error.hint !== undefined && { hint: error.hint }) })
  }
}

export function oneOf<const T extends string>(...choices: readonly T[]): Reader<T> {
  return (value, at) => {
    const typed = text(value, at)
    const found = choices.find((choice) => choice === typed)
    if (found !== undefined) return found
    const hint = didYouMean(typed, choices) ?? `It is one of ${choices.join(', ')}.`
    throw wrong(at, `${JSON.stringify(typed)} is not understood`, { hint })
  }
}

export function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (value, at) => {
    if (value === null) return []
    if (!Array.isArray(value)) throw wrong(at, 'it is not a list')
    return value.map((item, index) => reader(item, below(at, index)))
  }
}

/** One text, or a list of texts. */
export const texts: Reader<readonly string[]> = (value, at) => (typeof value === 'string' ? [value] : list(text)(value, at))

export function map<T>(reader: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, at) => {
    if (value === null || value === undefined) return {}
    if (!isRecord(value)) throw wrong(at, 'it is not a map')
    const entries = Object.entries(value).filter(([name]) => !name.startsWith('x-'))
    return Object.fromEntries(entries.map(([name, part]) => [name, replaceable(reader)(part, below(at, name)) as T]))
  }
}

/** `K=V` words, or a map: null stands for what has no value. */
export const pairs: Reader<Readonly<Record<string, string | null>>> = (value, at) => {
  if (!Array.isArray(value)) return map(optionalText)(value, at)
  return Object.fromEntries(
    value.map((item, index): [string, string | null] => {
      const word = text(item, below(at, index))
      const equals = word.indexOf('=')
      if (equals === 0 || word === '') throw wrong(below(at, index), 'it is not K=V')
      return equals < 0 ? [word, null] : [word.slice(0, equals), word.slice(equals + 1)]
    }),
  )
}

/** The same where no value is an empty one. */
export const labels: Reader<Readonly<Record<string, string>>> = (value, at) =>
  Object.fromEntries(Object.entries(pairs(value, at)).map(([name, found]) => [name, found ?? '']))

/** A command: one text that is split as a shell does, or its words. Null: that of the image. */
export const command: Reader<readonly string[] | null> = (value, at) => {
  if (value === null) return null
  if (typeof value === 'string') return guarded(at, () => splitWords(value))
  return list(text)(value, at)
}

/** A short form, which is one text, or a long one. */
export function either<T>(short: (value: string, at: At) => T, long: Reader<T>): Reader<T> {
  return (value, at) => (isRecord(value) ? long(value, at) : short(text(value, at), at))
}

/** Anything: it is accepted for what else reads the file. */
export const anything: Reader<unknown> = (value) => value
