import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseSignal } from './signal.ts'

const cases = JSON.parse(readFileSync(new URL('../../fixtures/signals.json', import.meta.url), 'utf8')) as readonly [
  string,
  number | null,
][]

test.each(cases)('%j is %j', (text, number) => {
  if (number === null) expect(() => parseSignal(text)).toThrow(/there is no such signal/)
  else expect(parseSignal(text)).toBe(number)
})

test.each<[string, number]>([
  ['SIGTERM', 15],
  ['term', 15],
  ['sigkill', 9],
  ['9', 9],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-1', 63],
  ['64', 64],
])('signal %s', (text, number) => {
  expect(parseSignal(text)).toBe(number)
})

test.each([
  ['SIGTREM', 'Did you mean SIGTERM?'],
  ['0', undefined],
  ['65', undefined],
  ['', undefined],
  ['RTMIN+31', undefined],
  ['RTMIN-1', undefined],
  ['constructor', undefined],
])('signal %j: an error', (text, hint) => {
  expect(() => parseSignal(text)).toThrow(`invalid signal ${JSON.stringify(text)}`)
  if (hint === undefined) return
  expect(() => parseSignal(text)).toThrow(expect.objectContaining({ hint }))
})
