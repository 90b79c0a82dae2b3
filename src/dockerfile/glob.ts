/** A pattern of an ignore file, ready to be matched. */
export interface Glob {
  /** Does it match the path, or a directory above it? */
  matches(path: string): boolean
}

type Part =
  | { readonly kind: 'literal'; readonly character: string }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] }
  // `?`: one character that is no slash.
  | { readonly kind: 'one' }
  // `*`: any number of characters that are no slash.
  | { readonly kind: 'some' }
  // `**` at the end: anything.
  | { readonly kind: 'all' }
  // `**` before something: nothing, or anything that ends with a slash.
  | { readonly kind: 'directories' }

/**
 * Compiles a pattern with the rules of moby's patternmatcher, its special cases included: a pattern that begins with
 * `**` and goes on without wildcards is compared with the end of the path, as plain text (`**foo` matches `a/xfoo`); one that
 * only ends in `**` with its beginning.
 *
 * Matching takes at most the product of both lengths, whatever the pattern.
 */
export function compileGlob(pattern: string): Glob {
  const shape = shapeOf(pattern)
  switch (shape) {
    case 'exact':
      return { matches: (path) => path.startsWith(pattern) && (path.length === pattern.length || path[pattern.length] === '/') }
    case 'prefix': {
      const prefix = pattern.slice(0, -2)
      return { matches: (path) => path.startsWith(prefix) }
    }
    case 'suffix': {
      const suffix = pattern.slice(2)
      return { matches: (path) => hasSuffix(path, suffix) }
    }
    case 'general': {
      const parts = readParts(pattern)
      const literal = longestLiteral(parts)
      return { matches: (path) => path.includes(literal) && run(parts, path) }
    }
    default:
      return shape satisfies never
  }
}

/** Does the path, or a directory above it, end with `suffix`? Or is it `suffix` without its slash? */
function hasSuffix(path: string, suffix: string): boolean {
  for (let end = path.indexOf('/'); ; end = path.indexOf('/', end + 1)) {
    const stop = end < 0 ? path.length : end
    if (stop >= suffix.length && path.startsWith(suffix, stop - suffix.length)) return true
    if (suffix.startsWith('/') && stop === suffix.length - 1 && path.startsWith(suffix.slice(1))) return true
    if (end < 0) return false
  }
}

/** Text that is in every path that matches: most paths are ruled out by that. */
function longestLiteral(parts: readonly Part[]): string {
  let longest = ''
  let current = ''
  for (const part of parts) {
    current = part.kind === 'literal' ? current + part.character : ''
    if (current.length > longest.length) longest = current
  }
  return longest
}

/** Which comparison patternmatcher chooses. It looks at the characters in order, and a later wildcard overrules. */
function shapeOf(pattern: string): 'exact' | 'prefix' | 'suffix' | 'general' {
  let shape: 'exact' | 'prefix' | 'suffix' | 'general' = 'exact'
  const characters = Array.from(pattern)
  let isFirst = true
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]
    if (character === '*' && characters[i + 1] === '*') {
      i++
      if (characters[i + 1] === '/') i++
      if (i + 1 >= characters.length) shape = shape === 'exact' ? 'prefix' : 'general'
      else shape = 'general'
      if (isFirst) shape = 'suffix'
    } else if (character === '\\') {
      if (i + 1 < characters.length) shape = 'general'
      i++
    } else if (character === '*' || character === '?' || character === '[' || character === ']') shape = 'general'
    isFirst = false
  }
  return shape
}

function readParts(pattern: string): Part[] {
  const characters = Array.from(pattern)
  const parts: Part[] = []
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] as string
    if (character === '*') {
      if (characters[i + 1] !== '*') {
        if (parts.at(-1)?.kind !== 'some') parts.push({ kind: 'some' })
        continue
      }
      i++
      if (characters[i + 1] === '/') i++
      parts.push({ kind: i + 1 >= characters.length ? 'all' : 'directories' })
    } else if (character === '?') parts.push({ kind: 'one' })
    else if (character === '[') {
      const { part, next } = readClass(characters, i)
      parts.push(part)
      i = next
    } else if (character === '\\' && i + 1 < characters.length) parts.push({ kind: 'literal', character: characters[++i] as string })
    else parts.push({ kind: 'literal', character })
  }
  return parts
}

/** `[a-z]`, `[^a-z]`. The syntax was checked before. */
function readClass(characters: readonly string[], start: number): { part: Part; next: number } {
  let i = start + 1
  const negated = characters[i] === '^'
  if (negated) i++
  const ranges: [number, number][] = []
  const read = (): number => {
    if (characters[i] === '\\') i++
    return (characters[i++] ?? '').codePointAt(0) ?? 0
  }
  while (i < characters.length && (characters[i] !== ']' || ranges.length === 0)) {
    const low = read()
    let high = low
    if (characters[i] === '-') {
      i++
      high = read()
    }
    ranges.push([low, high])
  }
  return { part: { kind: 'class', negated, ranges }, next: i }
}

/** All parts are tried at once, one character of the path after the other; it may also end where a directory ends. */
function run(parts: readonly Part[], path: string): boolean {
  let states = new Uint8Array(parts.length + 1)
  let next = new Uint8Array(parts.length + 1)
  states[0] = 1
  skipEmpty(parts, states)
  for (const character of path) {
    if (character === '/' && states[parts.length] !== 0) return true
    let isAlive = false
    for (let p = 0; p < parts.length; p++) {
      if (states[p] === 0) continue
      const to = step(parts[p] as Part, character)
      if (to === 'no') continue
      isAlive = true
      if (to !== 'next' && next[p] === 0) next[p] = 2
      if (to !== 'stay') next[p + 1] = 1
    }
    if (!isAlive) return false
    skipEmpty(parts, next)
    ;[states, next] = [next, states]
    next.fill(0)
  }
  return states[parts.length] !== 0
}

/** Parts that may match nothing. A part that has begun (2) and must end with a slash may not be left as if it were empty. */
function skipEmpty(parts: readonly Part[], states: Uint8Array): void {
  for (let p = 0; p < parts.length; p++) {
    const kind = (parts[p] as Part).kind
    const state = states[p] as number
    if (state === 0) continue
    if (kind === 'some' || kind === 'all' || (kind === 'directories' && state === 1)) states[p + 1] = 1
  }
}

function step(part: Part, character: string): 'no' | 'next' | 'stay' | 'both' {
  switch (part.kind) {
    case 'literal':
      return character === part.character ? 'next' : 'no'
    case 'one':
      return character === '/' ? 'no' : 'next'
    case 'some':
      return character === '/' ? 'no' : 'stay'
    case 'all':
      return 'stay'
    case 'directories':
      return character === '/' ? 'both' : 'stay'
    case 'class': {
      const point = character.codePointAt(0) as number
      return part.ranges.some(([low, high]) => point >= low && point <= high) !== part.negated ? 'next' : 'no'
    }
    default:
      return part satisfies never
  }
}
