import { expect, test } from 'vitest'
import { parseToml } from './toml.ts'

test('tables, arrays of tables, comments and dates are read', () => {
  const text =
    '# x\nunqualified = ["a"] # y\n[[registry]]\nprefix = "p"\n[[registry.mirror]]\nlocation = "m"\n[__proto__]\nd = 2026-01-01\n'
  const read = parseToml(text, 'x.conf')
  expect(read.registry).toMatchObject([{ prefix: 'p', mirror: [{ location: 'm' }] }])
  expect(Object.getPrototypeOf({})).not.toHaveProperty('d')
})

test.each<[name: string, text: string, line: number, column: number]>([
  ['a value that is missing', 'ok = 1\nbad = ', 2, 7],
  ['a key twice', 'a = 1\na = 2', 2, 1],
  ['a string that does not end', 'a = "x\nb = 1', 1, 7],
  ['nesting without end', `a = ${'['.repeat(100_000)}`, 1, 0],
])('%s is refused, with file and place', (_, text, line, column) => {
  try {
    parseToml(text, '/etc/x.conf')
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({
      code: 'invalid-document',
      message: expect.stringMatching(/^cannot read \/etc\/x\.conf: [^\n]+$/),
      span: { file: '/etc/x.conf', line, ...(column === 0 ? {} : { column }) },
      text,
    })
  }
})
