import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { parseDuration } from './duration.ts'

describe('durations', () => {
  test.each<[string, number]>([
    ['0', 0],
    ['1ns', 1],
    ['1us', 1e3],
    ['1µs', 1e3],
    ['1ms', 1e6],
    ['30s', 30e9],
    ['1m', 60e9],
    ['1h', 3600e9],
    ['1h2m3s', 3723e9],
    ['1.5s', 1.5e9],
    ['.5s', 0.5e9],
    ['1.s', 1e9],
    ['-1s', -1e9],
    ['+1s', 1e9],
  ])('%s', (text, nanoseconds) => {
    expect(parseDuration(text)).toBe(nanoseconds)
  })

  test.each(['', '1', 's', '1x', '1 s', '1s ', '1s1', '--1s', '.s', '1d', '999999999h'])('%j: an error', (text) => {
    expect(() => parseDuration(text)).toThrow(StaveError)
  })
})
