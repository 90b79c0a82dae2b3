import fc from 'fast-check'
import { expect, test } from 'vitest'
import { diffJson, diffLines } from './line-diff.ts'

const told = (before: string, after: string) =>
  diffLines(before.split(''), after.split(''))
    .map(({ kind, text }) => `${{ same: ' ', removed: '-', added: '+' }[kind]}${text}`)
    .join('')

test.each([
  ['', '', ''],
  ['abc', 'abc', ' a b c'],
  ['abc', 'axc', ' a-b+x c'],
  ['abc', 'c', '-a-b c'],
  ['c', 'abc', '+a+b c'],
  ['abcabba', 'cbabac', '-a-b c-a b+a b a+c'],
])('from %j to %j', (before, after, expected) => {
  expect(told(before, after)).toBe(expected)
})

test('whatever the texts, each is there in its order, and nothing is changed that need not be', () => {
  const lines = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 })
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const found = diffLines(before, after)
      expect(found.flatMap(({ kind, text }) => (kind === 'added' ? [] : [text]))).toEqual(before)
      expect(found.flatMap(({ kind, text }) => (kind === 'removed' ? [] : [text]))).toEqual(after)
      if (before.join() === after.join()) expect(found.every(({ kind }) => kind === 'same')).toBe(true)
    }),
  )
})

test('long texts with nothing in common between their ends are replaced at once', () => {
  const lines = (prefix: string) => ['begin', ...Array.from({ length: 20_000 }, (_, at) => `${prefix}${at}`), 'end']
  const found = diffLines(lines('a'), lines('b'))
  expect(found).toHaveLength(40_002)
  expect([found[0]!.kind, found[1]!.kind, found.at(-2)!.kind, found.at(-1)!.kind]).toEqual(['same', 'removed', 'added', 'same'])
})

test('of JSON, what is far from a change is left out', () => {
  expect(
    diffJson({ a: 1, list: ['one', 'two', 'three', 'four'], z: 1 }, { a: 1, list: ['one', 'two', 'three', 'four', 'five'], z: 1 }, 1),
  ).toEqual(['      "three",'.replace(/^/, ' ').slice(1), '-     "four"', '+     "four",', '+     "five"', '    ],'])
  expect(diffJson({ a: [1] }, { a: [1] })).toEqual([])
})
