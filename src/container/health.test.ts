import { describe, expect, test } from 'vitest'
import { healthCheck, healthCommand, parseHealthCommand } from './health.ts'

describe('what is checked', () => {
  const image = { Test: ['CMD', 'true'], Interval: 2e9, StartPeriod: 4e9, Retries: 7 }
  const usual = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5000, retries: 3 }

  test('nothing, unless the image or a flag says so', () => {
    expect(healthCheck(undefined, {})).toBeUndefined()
    expect(healthCheck({ Test: ['NONE'] }, {})).toBeUndefined()
    expect(healthCheck(image, { Test: ['NONE'] })).toBeUndefined()
    expect(() => healthCheck(undefined, { Retries: 1 })).toThrow(expect.objectContaining({ code: 'usage' }))
  })

  test('flags go before the image, and that before what is usual; without a start period there is none', () => {
    expect(healthCheck(undefined, { Test: ['CMD', 'true'] })).toEqual({ test: ['CMD', 'true'], ...usual })
    expect(healthCheck(image, { Interval: 1, Retries: 0 })).toEqual({
      ...usual,
      test: ['CMD', 'true'],
      intervalMs: 1,
      startPeriodMs: 4000,
      retries: 7,
    })
  })
})

test.each([
  ['none', ['NONE']],
  ['curl localhost', ['CMD-SHELL', 'curl localhost']],
  ['["CMD", "true"]', ['CMD', 'true']],
  ['["test", "-e", "/x"]', ['CMD', 'test', '-e', '/x']],
  ['[ -e /x ]', ['CMD-SHELL', '[ -e /x ]']],
] as const)('--health-cmd %s', (text, words) => {
  expect(parseHealthCommand(text)).toEqual(words)
})

test('a line goes to the shell of the image', () => {
  const check = healthCheck(undefined, { Test: ['CMD-SHELL', 'a b'] })!
  expect(healthCommand(check)).toEqual(['/bin/sh', '-c', 'a b'])
  expect(healthCommand(check, ['/bin/bash', '-ec'])).toEqual(['/bin/bash', '-ec', 'a b'])
})
