import { expect, test } from 'vitest'
import { openYaml } from './yaml.ts'

test('values are text, and a fault has its line', () => {
  const yaml = openYaml('a:\n  b: 1.10\n  c: [x]\n', 'f.yaml')
  expect(yaml.value).toEqual({ a: { b: '1.10', c: ['x'] } })
  expect(() => yaml.list(['a', 'b'], '1.10')).toThrow(expect.objectContaining({ span: expect.objectContaining({ line: 2 }) }))
})

test.each([
  ['what is no YAML', 'a: [', /./],
  ['maps that are nested without end', 'a: '.repeat(3_000), /nested too deep|Nested mappings/],
  ['sequences that are nested without end', '['.repeat(20_000), /./],
  [
    'aliases of aliases',
    `a: &a [x]\n${Array.from('bcdefghijk')
      .map((key, at) => `${key}: &${key} [${Array(9).fill(`*${'abcdefghij'[at]}`).join(',')}]`)
      .join('\n')}\n`,
    /./,
  ],
])('%s is refused', (_name, text, message) => {
  expect(() => openYaml(text, 'f.yaml')).toThrow(
    expect.objectContaining({ code: 'invalid-document', message: expect.stringMatching(message) }),
  )
})

test('keys that are collections are no warning of Node', () => {
  expect(openYaml('? [d]\n: e\n', 'f.yaml').value).toEqual({ '[ d ]': 'e' })
})
