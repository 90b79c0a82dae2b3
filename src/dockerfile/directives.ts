import type { Directives } from './instruction.ts'
import { isSpace, skipSpace } from './white-space.ts'

const names = new Set(['syntax', 'escape', 'check'])

/** What a line says as a parser directive: `name=value`; `end` where the directives are over; or a mistake. */
type DirectiveLine = { readonly name: string; readonly value: string } | 'end' | { readonly duplicate: string }

/**
 * Reads the directives at the top of a file. The first line that is none ends them for good: a comment, an
 * empty line, an unknown directive.
 */
export function directiveReader(prefix = '#'): (line: string) => DirectiveLine {
  const seen = new Set<string>()
  let over = false
  return (line) => {
    if (over) return 'end'
    const pair = line.startsWith(prefix) ? nameAndValue(line.slice(prefix.length)) : undefined
    if (pair === undefined || !names.has(pair.name)) {
      over = true
      return 'end'
    }
    if (seen.has(pair.name)) return { duplicate: pair.name }
    seen.add(pair.name)
    return pair
  }
}

/**
 * `syntax` and `check`, found as a frontend is chosen, before parsing: a `#!` line is skipped, and
 * `syntax` may also be written `//syntax=` or as a JSON document. `escape` is not found here: the parser
 * itself does not skip the `#!` line, so after one it is inert.
 */
export function detectDirectives(text: string): Omit<Directives, 'escape'> {
  let start = text.charCodeAt(0) === 0xfeff ? 1 : 0
  if (text.startsWith('#!', start)) {
    const end = text.indexOf('\n', start)
    start = end < 0 ? text.length : end + 1
  }
  const found = { ...detect(text, start, '//'), ...detect(text, start, '#') }
  const syntax = found.syntax?.split(' ', 1)[0] ?? jsonSyntax(text, start)
  return { ...(syntax !== undefined && { syntax }), ...(found.check !== undefined && { check: found.check }) }
}

/** Does `# syntax=` name Docker's own frontend? Any release of it, with what its labs add, from whichever registry it would come. */
export function isBuiltInFrontend(syntax: string): boolean {
  return /(?:^|\/)docker\/dockerfile(?:-upstream)?(?:[:@]|$)/.test(syntax)
}

function detect(text: string, start: number, prefix: '#' | '//'): { syntax?: string; check?: string } {
  const read = directiveReader(prefix)
  const found: { syntax?: string; check?: string } = {}
  let at = start
  while (at < text.length) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line = read(text.slice(at, text.charCodeAt(end - 1) === 0x0d ? end - 1 : end))
    if (typeof line === 'string' || 'duplicate' in line) break
    if (line.name === 'syntax') found.syntax = line.value
    else if (line.name === 'check' && prefix === '#') found.check = line.value
    at = end + 1
  }
  return found
}

function jsonSyntax(text: string, start: number): string | undefined {
  if (text.charCodeAt(skipSpace(text, start)) !== 0x7b) return undefined
  try {
    const { syntax } = JSON.parse(text.slice(start)) as Record<string, unknown>
    return typeof syntax === 'string' ? syntax : undefined
  } catch {
    return undefined // Not JSON, so not a document that names its frontend in JSON.
  }
}

/** `  name = value  `: the name in lower case, the value without blanks around it. */
export function nameAndValue(text: string): { name: string; value: string } | undefined {
  const equals = text.indexOf('=')
  if (equals < 0) return undefined
  const start = skipSpace(text, 0, equals)
  let end = equals
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  const name = text.slice(start, end)
  if (!/^[a-zA-Z][a-zA-Z0-9]*$/.test(name)) return undefined
  let from = equals + 1
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  // A value that is only blanks counts as one blank: `# escape= ` is a wrong escape, not a comment.
  const value = from < to ? text.slice(from, to) : text.slice(equals + 1).slice(-1)
  return value === '' ? undefined : { name: name.toLowerCase(), value }
}

function isBlank(unit: number): boolean {
  return unit !== 0x0b && unit < 0x80 && isSpace(unit)
}
