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
