import { StaveError } from '#error.ts'
import { compileGlob } from './glob.ts'
import { trimSpace } from './white-space.ts'
import { cleanPath } from './mount.ts'

/** One line of an ignore file: order matters, the last match decides. Trimmed and cleaned. */
export interface IgnorePattern {
  readonly pattern: string
  readonly negated: boolean
  /** Line in the ignore file, for messages. */
  readonly line: number
}

/**
 * Reads the text of a `.dockerignore` (reference: Build context, ".dockerignore files").
 *
 * A comment begins with `#` in the first column only. A leading `/` is dropped, `..` and doubled slashes are
 * resolved, and blanks around the pattern and after `!` do not count.
 *
 * @param file for spans of errors
 * @throws StaveError `dockerfile` for a lone `!` and for a pattern that Go's `filepath.Match` cannot read
 */
export function parseIgnore(text: string, file = '.dockerignore'): IgnorePattern[] {
  const patterns: IgnorePattern[] = []
  const lines = (text.charCodeAt(0) === 0xfeff ? text.slice(1) : text).split('\n')
  lines.forEach((content, i) => {
    const line = i + 1
    const wrong = (message: string, hint: string): StaveError =>
      new StaveError('dockerfile', message, { span: { file, line, column: 1, endLine: line, endColumn: content.length + 1 }, hint })
    if (content.startsWith('#')) return
    const trimmed = trimSpace(content)
    if (trimmed === '') return
    const invert = trimmed.startsWith('!')
    const bare = invert ? trimSpace(trimmed.slice(1)) : trimmed
    // Docker cleans a pattern twice, once as it reads the file and once as it compiles the list. So `/!a` ends up as `!a`,
    // and `a /` as `a`.
    const once = bare === '' ? '' : withoutSlash(cleanPath(bare))
    const twice = trimSpace(invert ? `!${once}` : once)
    if (twice === '') return
    const whole = cleanPath(twice)
    const negated = whole.startsWith('!')
    const pattern = negated ? whole.slice(1) : whole
    if (pattern === '') throw wrong('a pattern cannot be "!" alone', 'Write what is to be kept after the "!".')
    const problem = syntaxProblem(pattern)
    if (problem !== undefined) throw wrong(`invalid pattern ${JSON.stringify(pattern)}: ${problem}`, 'Write \\[ for an ordinary bracket.')
    patterns.push({ pattern, negated, line })
  })
  return patterns
}

function withoutSlash(pattern: string): string {
  return pattern.length > 1 && pattern.startsWith('/') ? pattern.slice(1) : pattern
}

/** What makes Go's `filepath.Match` refuse a pattern: an open bracket, an empty one, an escape at the end. */
function syntaxProblem(pattern: string): string | undefined {
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === '\\') {
      if (++i >= pattern.length) return 'an escape at its end'
    } else if (pattern[i] === '[') {
      const end = bracketEnd(pattern, i)
      if (end < 0) return 'a bracket is not well formed'
      i = end
    }
  }
  return undefined
}

/** The offset of the `]` that closes the class at `start`, as Go reads classes; -1 if it is none. */
function bracketEnd(pattern: string, start: number): number {
  let i = start + 1
  if (pattern[i] === '^') i++
  for (let ranges = 0; ; ranges++) {
    if (pattern[i] === ']' && ranges > 0) return i
    const from = i
    i = classCharacterEnd(pattern, from)
    if (i < 0) return -1
    if (pattern[i] !== '-') continue
    const low = pattern.slice(from, i)
    const high = i + 1
    i = classCharacterEnd(pattern, high)
    if (i < 0 || bareCharacter(low) > bareCharacter(pattern.slice(high, i))) return -1
  }
}

function bareCharacter(character: string): number {
  return (character.startsWith('\\') ? character.slice(1) : character).codePointAt(0) ?? 0
}

function classCharacterEnd(pattern: string, at: number): number {
  const character = pattern[at]
  if (character === undefined || character === '-' || character === ']') return -1
  const from = character === '\\' ? at + 1 : at
  const point = pattern.codePointAt(from)
  if (point === undefined) return -1
  const end = from + (point > 0xffff ? 2 : 1)
  return end >= pattern.length ? -1 : end
}

/** Decides whether paths of a context are ignored. */
export interface IgnoreMatcher {
  ignores(path: string): boolean
  /** The pattern because of which `path` is left out; undefined if it is not. */
  excludedBy(path: string): IgnorePattern | undefined
}

/**
 * A matcher with the semantics of moby's patternmatcher: a pattern that matches a directory above a path matches the path.
 *
 * NOTE: `|`, `{`, `}`, `^` and an escaped letter are ordinary characters here, as documented. Patternmatcher passes them on to a
 * regular expression, by mistake, where `|` makes a pattern match everything.
 *
 * @param patterns as {@link parseIgnore} gives them
 */
export function ignoreMatcher(patterns: readonly IgnorePattern[]): IgnoreMatcher {
  const compiled = patterns.map((each) => ({ each, glob: compileGlob(each.pattern) }))
  function excludedBy(path: string): IgnorePattern | undefined {
    const clean = withoutSlash(cleanPath(path))
    if (clean === '.') return undefined
    let excluding: IgnorePattern | undefined
    for (const { each, glob } of compiled) {
      // A pattern that could not change the verdict need not be tried.
      if (each.negated !== (excluding !== undefined)) continue
      if (glob.matches(clean)) excluding = each.negated ? undefined : each
    }
    return excluding
  }
  return { excludedBy, ignores: (path) => excludedBy(path) !== undefined }
}

/** Is the path left out? For many paths, {@link ignoreMatcher} is the faster way. */
export function matchIgnore(patterns: readonly IgnorePattern[], path: string): boolean {
  return ignoreMatcher(patterns).ignores(path)
}
