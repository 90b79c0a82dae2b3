import { StaveError } from '#error.ts'
import { interpolate, type Variables } from './interpolate.ts'

/**
 * Reads an env file of Compose: `NAME=value` lines, also with `export ` before them and `:` in place of `=`, comments, values in
 * single quotes (as they are) and double quotes (with variables and escapes), which may have several lines. A name alone has
 * the value that the variables give it.
 *
 * @param title of the file, for messages
 * @throws StaveError `invalid-document`, with the line
 * @see Compose specification, "Env_file format"
 */
export function parseEnvFile(text: string, title: string, variables: Variables): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  const lookup: Variables = (name) => variables(name) ?? values.get(name)
  const entry = /[ \t]*(?:export[ \t]+)?([^\s=:#'"]+)[ \t]*([=:])?[ \t]*/y
  let at = 0
  const source = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n')
  const lineOf = (position: number): number => source.slice(0, position).split('\n').length
  const fail = (position: number, problem: string, cause?: unknown): StaveError => {
    const line = lineOf(position)
    return new StaveError('invalid-document', `cannot read ${title}: ${problem}`, {
      span: { file: title, line, column: 1, endLine: line, endColumn: 2 },
      text: source,
      ...(cause !== undefined && { cause }),
    })
  }
  while (at < source.length) {
    const lineEnd = endOf(source, at)
    const line = source.slice(at, lineEnd).trim()
    if (line === '' || line.startsWith('#')) {
      at = lineEnd + 1
      continue
    }
    entry.lastIndex = at
    const match = entry.exec(source)
    if (match === null) throw fail(at, `${JSON.stringify(line.slice(0, 60))} is not NAME=value`)
    const [whole, name = '', sign] = match
    const start = at
    at += whole.length
    if (sign === undefined) {
      if (at < lineEnd && source[at] !== '#')
        throw fail(start, `the name ${JSON.stringify(source.slice(start, lineEnd).trim().slice(0, 60))} has white space`)
      const value = lookup(name)
      if (value !== undefined) values.set(name, value)
      at = lineEnd + 1
      continue
    }
    try {
      const { value, end } = valueAt(source, Math.min(at, lineEnd), lookup)
      values.set(name, value)
      at = end
    } catch (cause) {
      throw cause instanceof StaveError ? fail(start, cause.message, cause) : cause
    }
  }
  return values
}

function endOf(source: string, at: number): number {
  const newline = source.indexOf('\n', at)
  return newline < 0 ? source.length : newline
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"', $: '$$' }

/** The value that begins here, and where the next line does. */
function valueAt(source: string, at: number, variables: Variables): { value: string; end: number } {
  const quote = source[at]
  if (quote === '"' || quote === "'") {
    const close = closing(source, at + 1, quote)
    if (close < 0) throw new StaveError('invalid-document', 'a quote is not closed')
    const raw = source.slice(at + 1, close)
    const rest = source.slice(close + 1, endOf(source, close)).trim()
    if (rest !== '' && !rest.startsWith('#'))
      throw new StaveError('invalid-document', `${JSON.stringify(rest.slice(0, 60))} stands behind the quotes`)
    const value =
      quote === "'"
        ? raw.replaceAll("\\'", "'")
        : interpolate(
            raw.replace(/\\([nrt\\"$])/g, (_, letter: string) => escapes[letter] as string),
            variables,
          )
    return { value, end: endOf(source, close) + 1 }
  }
  const end = endOf(source, at)
  // A # that follows white space begins a comment.
  const plain = source
    .slice(at, end)
    .replace(/(^|\s)#.*$/, '')
    .trim()
  return { value: interpolate(plain, variables), end: end + 1 }
}

function closing(source: string, from: number, quote: string): number {
  for (let at = from; at < source.length; at++) {
    if (source[at] === '\\') at++
    else if (source[at] === quote) return at
  }
  return -1
}
