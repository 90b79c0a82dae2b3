import { expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { csvFields } from './csv.ts'

test.each<[string, string[]]>([
  ['a,b', ['a', 'b']],
  ['a', ['a']],
  [',', ['', '']],
  ['a,', ['a', '']],
  ['"a,b",c', ['a,b', 'c']],
  ['"a""b"', ['a"b']],
  ['"a",', ['a', '']],
  ['""', ['']],
  [' a, b', [' a', ' b']],
])('fields of %s', (text, fields) => {
  expect(csvFields(text)).toEqual(fields)
})

test.each([
  ['', 'the value is empty'],
  ['a,b"c', 'there is a quote inside the field b"c'],
  ['a, "b"', 'there is a quote inside the field  "b"'],
  ['"a', 'a quote is not closed in "a'],
  ['"a""', 'a quote is not closed in "a""'],
  ['"a"b,c', 'there is text after a closing quote in "a"b,c'],
])('%j: an error', (text, message) => {
  expect(() => csvFields(text)).toThrow(message)
  expect(() => csvFields(text)).toThrow(StaveError)
})
