import { skipSpace } from './white-space.ts'
import * as limit from '#limit.ts'

/**
 * The strings of an argument that is written as a JSON array. Anything that does not parse is shell text,
 * silently: `['a']`, `["a",]`, `["a"] x`.
 *
 * @returns undefined if it is not a JSON array; `not-strings` if it is one with other elements: an error
 */
export function jsonStrings(text: string): readonly string[] | undefined | 'not-strings' {
  const start = skipSpace(text, 0)
  if (text[start] !== '[') return undefined
  let value: unknown
  try {
    value = JSON.parse(text.slice(start))
  } catch {
    return undefined // Not JSON: shell form, as in BuildKit.
  }
  const elements = value as unknown[]
  if (elements.every((element) => typeof element === 'string')) return elements.map((element) => element.toWellFormed())
  return isDecodable(elements) ? 'not-strings' : undefined
}

/** Would Go decode it? Numbers beyond a double and very deep nesting do not parse there. */
function isDecodable(elements: readonly unknown[]): boolean {
  const pending: { value: unknown; depth: number }[] = [{ value: elements, depth: 1 }]
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    if (typeof item.value === 'number' && !Number.isFinite(item.value)) return false
    if (typeof item.value !== 'object' || item.value === null) continue
    if (item.depth > limit.jsonDepth) return false
    for (const value of Object.values(item.value)) pending.push({ value, depth: item.depth + 1 })
  }
  return true
}
