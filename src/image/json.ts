/** JSON that keeps what it does not know: fields, their order, and numbers that a double cannot hold. */
export type JsonObject = Readonly<Record<string, unknown>>

interface ReviverContext {
  readonly source?: string
}
// ECMAScript 2026, "JSON.parse source text access"; not in the library types yet.
const parse = JSON.parse as (text: string, reviver: (key: string, value: unknown, context: ReviverContext) => unknown) => unknown
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

/** Parses a document that was decoded before, so it is known to be an object. */
export function parseKeeping(bytes: Uint8Array): JsonObject {
  const value = parse(new TextDecoder().decode(bytes), (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? rawJson(source) : value,
  )
  return value as JsonObject
}

/** The same value always gives the same bytes. */
export function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

/**
 * Puts fields into an object: those that it has keep their place, new ones come at its end, `undefined` takes out.
 * Keys like `__proto__` are keys like others.
 */
export function patch(base: JsonObject, changes: JsonObject): JsonObject {
  const entries = new Map(Object.entries(base))
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) entries.delete(key)
    else entries.set(key, value)
  }
  return Object.fromEntries(entries)
}

/** The same with sorted keys, for maps whose order means nothing; `undefined` if it is empty then. */
export function patchMap(base: JsonObject, changes: JsonObject): JsonObject | undefined {
  const entries = Object.entries(patch(base, changes))
  if (entries.length === 0) return undefined
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}
