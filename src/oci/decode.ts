import { StaveError } from '#error.ts'
import { isDigest, parseDigest, type Digest } from './digest.ts'

/**
 * Decoders turn JSON of unknown shape into a typed value or throw `invalid-document`. They look only at the fields
 * that they know: whoever needs the others has the raw bytes. Go, in which nearly all peers are written, makes no
 * difference between `null` and absence, so neither do optional fields here.
 */
export type Decoder<T> = (value: unknown, at: Place) => T

/** Where in which document a decoder is, for its messages. */
export interface Place {
  /** What is read: `image manifest sha256:…`. */
  readonly document: string
  /** Its section of which specification. */
  readonly section: string
  /** `layers[3].size` */
  readonly path: string
}

/** Parses bytes as JSON and decodes them. @throws StaveError `invalid-document`, `too-large` */
export function decodeJson<T>(bytes: Uint8Array, maxBytes: number, document: string, section: string, decoder: Decoder<T>): T {
  return decoder(parseJson(bytes, maxBytes, document), { document, section, path: '' })
}

/** Parses bytes as JSON in UTF-8. @throws StaveError `invalid-document`, `too-large` */
export function parseJson(bytes: Uint8Array, maxBytes: number, document: string): unknown {
  if (bytes.length > maxBytes)
    throw new StaveError('too-large', `cannot read ${document}: it has ${bytes.length} bytes, more than the ${maxBytes} that are allowed`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    // The parser's own message quotes the text. It may be a file that was named by mistake, and private.
    const [place] = /\(line \d+ column \d+\)/.exec((error as Error).message) ?? []
    throw new StaveError('invalid-document', `cannot read ${document}: it is not JSON in UTF-8${place === undefined ? '' : ` ${place}`}`)
  }
}

export function invalid(at: Place, expected: string, value: unknown): StaveError {
  const place = at.path === '' ? 'the document' : at.path
  return new StaveError(
    'invalid-document',
    `cannot read ${at.document}: ${place} must be ${expected}, not ${describe(value)} (${at.section})`,
  )
}

function describe(value: unknown): string {
  if (value === undefined) return 'absent'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

export function below(at: Place, key: string | number): Place {
  const step = typeof key === 'number' ? `[${key}]` : /^\w+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
  return { ...at, path: at.path === '' && step.startsWith('.') ? step.slice(1) : at.path + step }
}

export const string: Decoder<string> = (value, at) => {
  if (typeof value !== 'string') throw invalid(at, 'a string', value)
  return value
}

export const boolean: Decoder<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw invalid(at, 'true or false', value)
  return value
}

/** An integer that a double holds exactly. */
export const integer: Decoder<number> = (value, at) => {
  if (!Number.isSafeInteger(value)) throw invalid(at, 'an integer', value)
  return value as number
}

/** A count of bytes. */
export const size: Decoder<number> = (value, at) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(at, 'an integer from 0 on', value)
  return value as number
}

export const digest: Decoder<Digest> = (value, at) => {
  const text = string(value, at)
  return isDigest(text) ? text : parseDigestAt(text, at)
}

function parseDigestAt(text: string, at: Place): Digest {
  try {
    return parseDigest(text)
  } catch (cause) {
    throw new StaveError('invalid-document', invalid(at, 'a digest', text).message, { cause })
  }
}

export function literal<const T extends string | number>(expected: T): Decoder<T> {
  return (value, at) => {
    if (value !== expected) throw invalid(at, JSON.stringify(expected), value)
    return expected
  }
}

/** An array of at most `max` elements; `null` is the empty one. */
export function array<T>(element: Decoder<T>, max: number): Decoder<readonly T[]> {
  return (value, at) => {
    if (value === null) return []
    if (!Array.isArray(value)) throw invalid(at, 'an array', value)
    if (value.length > max) {
      throw new StaveError(
        'too-large',
        `cannot read ${at.document}: ${at.path} has ${value.length} elements, more than the ${max} that are allowed`,
      )
    }
    return value.map((item: unknown, position) => element(item, below(at, position)))
  }
}

/** An object used as a map. Its prototype is null: a key called `__proto__` is a key like others. */
export function record<T>(element: Decoder<T>): Decoder<Readonly<Record<string, T>>> {
  return (value, at) => {
    const result = Object.create(null) as Record<string, T>
    for (const [key, item] of Object.entries(fieldsOf(value, at))) result[key] = element(item, below(at, key))
    return result
  }
}

/** The fields of an object, not yet decoded. */
export function fieldsOf(value: unknown, at: Place): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(at, 'an object', value)
  return value as Readonly<Record<string, unknown>>
}

type Decoders = Readonly<Record<string, Decoder<unknown>>>
type Decoded<D extends Decoders> = { readonly [K in keyof D]: ReturnType<D[K]> }

/** Fields by name: the required ones, and the others, which are left out of the result where absent or null. */
export function object<const R extends Decoders, const O extends Decoders>(
  required: R,
  optional: O,
): Decoder<Decoded<R> & Partial<Decoded<O>>> {
  return (value, at) => {
    const fields = fieldsOf(value, at)
    const result: Record<string, unknown> = {}
    for (const [key, decoder] of Object.entries(required)) result[key] = decoder(own(fields, key), below(at, key))
    for (const [key, decoder] of Object.entries(optional)) {
      const field = own(fields, key)
      if (field !== undefined && field !== null) result[key] = decoder(field, below(at, key))
    }
    return result as Decoded<R> & Partial<Decoded<O>>
  }
}

function own(fields: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined
}

/** Absence and null become a default. */
export function withDefault<T>(decoder: Decoder<T>, value: T): Decoder<T> {
  return (field, at) => (field === undefined || field === null ? value : decoder(field, at))
}
