import { fault, shortened } from './fault.ts'

/**
 * The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*` and `?`, no brackets; `\*`, `\?` and `\\` stand for
 * themselves, and so do `\}` and `\/`, which end the pattern otherwise. As in BuildKit no wildcard matches a newline.
 */
export type Pattern = readonly PatternPart[]

type PatternPart = { readonly literal: string } | 'any' | 'one'

/** @throws StaveError `dockerfile` if another character is escaped */
export function parsePattern(text: string): Pattern {
  const parts: PatternPart[] = []
  const characters = Array.from(text)
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] as string
    if (character === '*') {
      if (parts.at(-1) !== 'any') parts.push('any')
    } else if (character === '?') parts.push('one')
    else if (character !== '\\') parts.push({ literal: character })
    else {
      const next = characters[++i]
      if (next === undefined || !'*?\\}/'.includes(next)) {
        throw fault(
          `invalid pattern ${JSON.stringify(shortened(text))}: \\${next ?? ''} is no escape`,
          undefined,
          'Only *, ?, \\, } and / can be escaped in a pattern.',
        )
      }
      parts.push({ literal: next })
    }
  }
  return parts
}

/** `${value#pattern}`, or with `longest` `${value##pattern}`. */
export function removePrefix(value: string, pattern: Pattern, longest: boolean): string {
  const characters = Array.from(value)
  const end = matchEnds(characters, pattern, longest)[0] as number
  return end < 0 ? value : characters.slice(end).join('')
}

/** `${value%pattern}`, or with `longest` `${value%%pattern}`. */
export function removeSuffix(value: string, pattern: Pattern, longest: boolean): string {
  const characters = Array.from(value).reverse()
  const end = matchEnds(characters, pattern.toReversed(), longest)[0] as number
  return end < 0 ? value : characters.slice(end).reverse().join('')
}

/**
 * `${value/pattern/replacement}`, or with `all` `${value//pattern/replacement}`: from the left, each match as
 * long as possible. The replacement is taken literally: BuildKit reads `$1` in one as an (always empty) group
 * of a regular expression with `//`, but not with `/`.
 *
 * @returns undefined if the result is longer than `limit`
 */
export function replacePattern(
  value: string,
  pattern: Pattern,
  replacement: string,
  { all, limit }: { readonly all: boolean; readonly limit: number },
): string | undefined {
  const characters = Array.from(value)
  const ends = matchEnds(characters, pattern, true)
  const out: string[] = []
  let at = 0
  let lastEnd = -1
  let length = 0
  while (at <= characters.length) {
    const end = ends[at] as number
    // An empty match right after a match does not count, as in Go: `*` matches `abc` once.
    if (end >= 0 && !(end === at && at === lastEnd)) {
      out.push(replacement)
      length += replacement.length
      if (length > limit) return undefined
      lastEnd = end
      if (!all) return out.join('') + characters.slice(end).join('')
      if (end > at) {
        at = end
        continue
      }
    }
    if (at < characters.length) out.push(characters[at] as string)
    at++
  }
  return out.join('')
}

/**
 * For each position where `pattern` matches, where that match ends (the longest or the shortest one); -1
 * elsewhere. Works from the end of the pattern to its start, one row of positions for each part, so the time is
 * the product of both lengths whatever the pattern.
 */
function matchEnds(characters: readonly string[], pattern: Pattern, longest: boolean): Int32Array {
  const count = characters.length
  let row = Int32Array.from({ length: count + 1 }, (_, i) => i)
  for (const part of pattern.toReversed()) {
    const next = new Int32Array(count + 1).fill(-1)
    for (let i = count; i >= 0; i--) {
      if (part === 'any') {
        const stop = row[i] as number
        const onward = i < count && characters[i] !== '\n' ? (next[i + 1] as number) : -1
        next[i] = stop < 0 || onward < 0 ? Math.max(stop, onward) : longest ? Math.max(stop, onward) : Math.min(stop, onward)
      } else if (i < count && (part === 'one' ? characters[i] !== '\n' : characters[i] === part.literal)) next[i] = row[i + 1] as number
    }
    row = next
  }
  return row
}
