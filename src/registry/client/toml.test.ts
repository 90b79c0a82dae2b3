import { describe, expect, test } from 'vitest'
import { parseToml } from './toml.ts'

// Tables have no prototype; JSON makes them comparable.
const read = (text: string) => JSON.parse(JSON.stringify(parseToml(text, 'x.conf'))) as unknown

describe('reads', () => {
  test.each<[name: string, text: string, expected: unknown]>([
    ['nothing', '', {}],
    ['comments and blank lines', '# a\n\n  # b\na = 1 # c\n', { a: 1 }],
    ['strings', 'a = "x\\t\\u00e9\\U0001F600\\\\"\nb = \'c:\\d\'\n', { a: 'x\té😀\\', b: 'c:\\d' }],
    ['long strings', 'a = """\nx "y" \\\n   z"""\nb = \'\'\'\n\\n\'\'\'', { a: 'x "y" z', b: '\\n' }],
    ['quotes at the end of a long string', 'a = """x"""""', { a: 'x""' }],
    ['numbers', 'a = -1_000\nb = 0x_f\n'.replace('0x_f', '0xff') + 'c = 1.5e3\nd = 0b11', { a: -1000, b: 255, c: 1500, d: 3 }],
    ['Booleans', 'a = true\nb = false', { a: true, b: false }],
    ['arrays over lines', 'a = [ "x", # one\n  "y",\n]\nb = []\nc = [[1], [2]]', { a: ['x', 'y'], b: [], c: [[1], [2]] }],
    ['tables', '[a]\nb = 1\n[a.c]\nd = 2\n[e]', { a: { b: 1, c: { d: 2 } }, e: {} }],
    [
      'arrays of tables',
      '[[r]]\np = "x"\n[[r.m]]\nl = 1\n[[r.m]]\nl = 2\n[[r]]\np = "y"',
      { r: [{ p: 'x', m: [{ l: 1 }, { l: 2 }] }, { p: 'y' }] },
    ],
    ['dotted and quoted keys', 'a."b.c".d = 1\n"" = 2\n\'x y\' = 3', { a: { 'b.c': { d: 1 } }, '': 2, 'x y': 3 }],
    ['inline tables', 'a = { b = 1, c.d = "x" }', { a: { b: 1, c: { d: 'x' } } }],
    ['Windows line ends', 'a = 1\r\n[b]\r\nc = 2\r\n', { a: 1, b: { c: 2 } }],
    ['a key called __proto__', '[__proto__]\na = 1', { ['__proto__']: { a: 1 } }],
  ])('%s', (_, text, expected) => {
    expect(read(text)).toEqual(expected)
  })
})

describe('refuses', () => {
  test.each<[name: string, text: string, message: string]>([
    ['a key twice', 'a = 1\na = 2', 'a is defined twice (line 2, column 1)'],
    ['a table twice', '[a]\n[b]\n[a]', 'a is defined twice (line 3, column 2)'],
    ['a table over a value', 'a = 1\n[a.b]', 'a is no table'],
    ['an array of tables over a value', 'a = []\n[[a]]', 'a is defined twice'],
    ['extending an inline table', 'a = { b = 1 }\n[a.c]', 'a is no table'],
    ['a string that does not end', 'a = "x\nb = 1', 'does not end (line 1'],
    ['a string with an unknown escape', 'a = "\\q"', 'unknown escape'],
    ['a value that is none', 'a = yes', 'expected a string'],
    ['a date', 'a = 2026-01-01', 'expected a string'],
    ['a number with a leading zero', 'a = 012', 'expected a string'],
    ['a missing value', 'a =\n', 'expected a string'],
    ['a missing =', 'a 1', 'expected ='],
    ['two values in a line', 'a = 1 b = 2', 'expected the end of the line'],
    ['an open header', '[a\nb = 1', 'expected ]'],
    ['a half-closed array of tables', '[[a]\n', 'expected ]]'],
    ['an open array', 'a = [1, 2', 'expected , or ]'],
    ['no key', '= 1', 'expected a key'],
    ['nesting without end', `a = ${'['.repeat(100_000)}`, 'nested too deeply'],
  ])('%s', (_, text, message) => {
    expect(() => parseToml(text, 'x.conf')).toThrow(message)
  })
})

test('says the file and the place', () => {
  try {
    parseToml('ok = 1\nbad = ', '/etc/x.conf')
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid-document', span: { file: '/etc/x.conf', line: 2, column: 7 } })
  }
})
