import { isRecord, Replacement } from './document.ts'

/** Lists that a later file replaces, by the name of their field. */
const replaced = new Set(['command', 'entrypoint', 'test'])

/** What tells apart the elements of lists that are not just texts: one that is the same place takes over. */
const identity: Readonly<Record<string, (item: Readonly<Record<string, unknown>>) => unknown>> = {
  ports: ({ host_ip, published, target, protocol }) => [host_ip ?? '', published ?? '', target, protocol],
  volumes: ({ target }) => target,
  secrets: ({ target, source }) => target ?? source,
  configs: ({ target, source }) => target ?? source,
  env_file: ({ path }) => path,
}

/**
 * What a later file makes of an earlier one: maps are merged, lists put together without doubles, all else is replaced.
 *
 * @see Compose specification, "Merge"
 */
export function merge<T>(base: T, over: T, field = ''): T {
  if (over instanceof Replacement) return over.value as T
  if (isRecord(base) && isRecord(over)) {
    const result: Record<string, unknown> = { ...base }
    for (const [name, value] of Object.entries(over)) {
      if (value instanceof Replacement && value.value === undefined) delete result[name]
      else result[name] = Object.hasOwn(result, name) ? merge(result[name], value, name) : settled(value)
    }
    return result as T
  }
  if (Array.isArray(base) && Array.isArray(over) && !replaced.has(field)) return mergeLists(base, over, field) as T
  return over
}

/** Without what only had a meaning for files before. */
export function settled<T>(value: T): T {
  if (value instanceof Replacement) return settled(value.value) as T
  if (Array.isArray(value)) return value.map(settled) as T
  if (!isRecord(value)) return value
  const entries = Object.entries(value).filter(([, part]) => !(part instanceof Replacement && part.value === undefined))
  return Object.fromEntries(entries.map(([name, part]) => [name, settled(part)])) as T
}

function mergeLists(base: readonly unknown[], over: readonly unknown[], field: string): unknown[] {
  const keyOf = (item: unknown): string => JSON.stringify(isRecord(item) ? (identity[field]?.(item) ?? item) : item)
  const byKey = new Map(base.map((item) => [keyOf(item), item]))
  for (const item of over) byKey.set(keyOf(item), settled(item))
  return [...byKey.values()]
}
