import { StaveError } from '#error.ts'

export type TomlValue = string | number | boolean | readonly TomlValue[] | TomlTable
export interface TomlTable {
  readonly [key: string]: TomlValue
}

type Mutable = { [key: string]: TomlValue | Mutable | Mutable[] }

const depthLimit = 64

/**
 * Reads the part of TOML that configuration files of registries use: tables, arrays of tables, dotted and quoted
 * keys, basic and literal strings (also in three quotes), integers, floats, Booleans, arrays and inline tables.
 * Dates are the one thing refused. Strict: a key defined twice is an error.
 *
 * @param file its name, for messages
 * @throws StaveError `invalid-document` with the place
 * @see https://toml.io/en/v1.0.0
 */
export function parseToml(text: string, file: string): TomlTable {
  let at = 0
  const root = table()
  // Tables that a header opened: opening one twice is an error, extending one that a dotted header implied is not.
  const opened = new Set<unknown>()
  const closed = new Set<unknown>()
  let current = root

  for (;;) {
    skipLines()
    if (at >= text.length) return root
    if (text[at] === '[') header()
    else {
      assign(current)
      endOfLine()
    }
  }

  function fail(why: string, where = at): never {
    const before = text.slice(0, where)
    const line = before.split('\n').length
    const column = where - before.lastIndexOf('\n')
    throw new StaveError('invalid-document', `cannot read ${file}: ${why} (line ${line}, column ${column})`, {
      span: { file, line, column, endLine: line, endColumn: column + 1 },
    })
  }

  function header(): void {
    const isArray = text.startsWith('[[', at)
    at += isArray ? 2 : 1
    const start = at
    const path = key()
    if (!text.startsWith(isArray ? ']]' : ']', at)) fail(`expected ${isArray ? ']]' : ']'}`)
    at += isArray ? 2 : 1
    endOfLine()
    let parent = root
    for (const part of path.slice(0, -1)) parent = descend(parent, part, start)
    const last = path.at(-1)!
    const existing = parent[last]
    if (isArray) {
      if (existing !== undefined && !(Array.isArray(existing) && opened.has(existing))) fail(`${last} is defined twice`, start)
      const list = existing ?? []
      opened.add(list)
      parent[last] = list
      current = table()
      list.push(current)
      return
    }
    if (existing !== undefined && (!isTable(existing) || opened.has(existing) || closed.has(existing)))
      fail(`${last} is defined twice`, start)
    current = existing ?? table()
    parent[last] = current
    opened.add(current)
  }

  function descend(parent: Mutable, part: string, where: number): Mutable {
    const existing = parent[part]
    if (existing === undefined) {
      const made = table()
      parent[part] = made
      return made
    }
    // A header below an array of tables means its last element.
    const target = Array.isArray(existing) && opened.has(existing) ? (existing.at(-1) as Mutable) : existing
    if (!isTable(target) || closed.has(target)) fail(`${part} is no table that could be extended`, where)
    return target
  }

  function assign(into: Mutable): void {
    const start = at
    const path = key()
    if (text[at] !== '=') fail('expected = after the key')
    at++
    skipBlanks()
    let parent = into
    for (const part of path.slice(0, -1)) {
      parent = descend(parent, part, start)
      if (opened.has(parent)) fail(`${part} is defined twice`, start)
    }
    const last = path.at(-1)!
    if (parent[last] !== undefined) fail(`${last} is defined twice`, start)
    parent[last] = value(0)
  }

  function key(): string[] {
    const path: string[] = []
    for (;;) {
      skipBlanks()
      const bare = match(/[A-Za-z0-9_-]+/y)
      if (bare !== undefined) path.push(bare)
      else if (text[at] === '"') path.push(basicString())
      else if (text[at] === "'") path.push(literalString())
      else fail('expected a key')
      skipBlanks()
      if (text[at] !== '.') return path
      at++
    }
  }

  function value(depth: number): TomlValue {
    if (depth > depthLimit) fail('nested too deeply')
    if (text.startsWith('"""', at)) return longString('"""')
    if (text.startsWith("'''", at)) return longString("'''")
    if (text[at] === '"') return basicString()
    if (text[at] === "'") return literalString()
    if (text[at] === '[') return array(depth)
    if (text[at] === '{') return inlineTable(depth)
    const start = at
    const word = match(/[A-Za-z0-9_+.:-]+/y)
    if (word === 'true' || word === 'false') return word === 'true'
    if (word !== undefined) {
      const number = parseNumber(word)
      if (number !== undefined) return number
    }
    return fail('expected a string, number, Boolean, array or table', start)
  }

  function array(depth: number): TomlValue[] {
    const items: TomlValue[] = []
    at++
    for (;;) {
      skipLines()
      if (text[at] === ']') break
      items.push(value(depth + 1))
      skipLines()
      if (text[at] === ',') at++
      else if (text[at] !== ']') fail('expected , or ] in an array')
    }
    at++
    return items
  }

  function inlineTable(depth: number): TomlTable {
    const made = table()
    at++
    skipBlanks()
    if (depth > depthLimit) fail('nested too deeply')
    while (text[at] !== '}') {
      assign(made)
      skipBlanks()
      if (text[at] === '}') break
      if (text[at] !== ',') fail('expected , or } in a table')
      at++
      skipBlanks()
      if (text[at] === '}') fail('expected a key after ,')
    }
    at++
    closed.add(made)
    return made
  }

  function literalString(): string {
    const end = text.indexOf("'", at + 1)
    const line = text.indexOf('\n', at)
    if (end === -1 || (line !== -1 && line < end)) fail('the string does not end')
    const content = text.slice(at + 1, end)
    at = end + 1
    return content
  }

  function basicString(): string {
    let content = ''
    for (at++; ;) {
      const character = text[at]
      if (character === undefined || character === '\n') fail('the string does not end')
      at++
      if (character === '"') return content
      content += character === '\\' ? escape() : character
    }
  }

  function longString(quotes: string): string {
    at += 3
    if (text.startsWith('\r\n', at)) at += 2
    else if (text[at] === '\n') at++
    let content = ''
    for (;;) {
      if (at >= text.length) fail('the string does not end')
      if (text.startsWith(quotes, at)) {
        at += 3
        // One or two more quotes belong to the text: """he said "no"""""
        for (let extra = 0; extra < 2 && text[at] === quotes[0]; extra++, at++) content += quotes[0]
        return content
      }
      const character = text[at]!
      at++
      if (character !== '\\' || quotes === "'''") content += character
      else if (match(/[ \t]*\r?\n[ \t\r\n]*/y) === undefined) content += escape()
    }
  }

  function escape(): string {
    const simple: Record<string, string> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }
    const letter = text[at++] ?? ''
    if (letter in simple) return simple[letter]!
    const digits = letter === 'u' ? match(/[0-9A-Fa-f]{4}/y) : letter === 'U' ? match(/[0-9A-Fa-f]{8}/y) : undefined
    const point = digits === undefined ? NaN : parseInt(digits, 16)
    if (Number.isNaN(point) || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) fail('unknown escape in a string', at - 1)
    return String.fromCodePoint(point)
  }

  function match(pattern: RegExp): string | undefined {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found === null) return undefined
    at = pattern.lastIndex
    return found[0]
  }

  function skipBlanks(): void {
    while (text[at] === ' ' || text[at] === '\t') at++
  }

  function skipLines(): void {
    match(/(?:[ \t\r\n]|#[^\n]*)+/y)
  }

  function endOfLine(): void {
    if (match(/[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/y) === undefined) fail('expected the end of the line')
  }
}

function parseNumber(word: string): number | undefined {
  const plain = word.replace(/(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])/g, '')
  if (/^[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(plain)) return Number(plain)
  if (/^0x[0-9a-fA-F]+$|^0o[0-7]+$|^0b[01]+$/.test(plain)) return Number(plain)
  if (/^[+-]?inf$/.test(plain)) return plain.startsWith('-') ? -Infinity : Infinity
  return /^[+-]?nan$/.test(plain) ? NaN : undefined
}

function table(): Mutable {
  return Object.create(null) as Mutable
}

function isTable(value: unknown): value is Mutable {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
