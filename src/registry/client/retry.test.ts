import { expect, test } from 'vitest'
import { background } from '#context.ts'
import { attemptsFor, backoffMs, defaultRetry, isPassing, pause, retryAfterMs } from './retry.ts'

const now = Date.parse('2026-01-01T00:00:00Z')

test.each<[name: string, headers: Record<string, string>, expected: number | undefined]>([
  ['seconds', { 'retry-after': '7' }, 7000],
  ['nothing', {}, undefined],
  ['nonsense', { 'retry-after': 'soon' }, undefined],
  ['a date', { 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
  ['a date by a clock that is wrong', { 'retry-after': 'Thu, 01 Jan 2026 05:00:30 GMT', date: 'Thu, 01 Jan 2026 05:00:00 GMT' }, 30_000],
  ['a date in the past', { 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
])('Retry-After: %s', (_, headers, expected) => {
  expect(retryAfterMs(headers, now)).toBe(expected)
})

test('waits grow up to a bound, and differ', () => {
  for (let attempt = 0; attempt < 20; attempt++) {
    const full = Math.min(defaultRetry.maxDelayMs, defaultRetry.firstDelayMs * 2 ** attempt)
    const waits = Array.from({ length: 20 }, () => backoffMs(attempt, defaultRetry))
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(full / 2)
    expect(Math.max(...waits)).toBeLessThanOrEqual(full)
    expect(new Set(waits).size).toBeGreaterThan(1)
  }
})

test('a port where nothing listens is given up sooner', () => {
  expect(attemptsFor(Object.assign(new Error(), { code: 'ECONNREFUSED' }), defaultRetry)).toBe(3)
  expect(attemptsFor(Object.assign(new Error(), { code: 'ECONNRESET' }), defaultRetry)).toBe(5)
})

test('only what may pass is repeated', () => {
  expect([200, 400, 401, 403, 404, 416, 429, 500, 501, 502, 503, 504, 505].filter(isPassing)).toEqual([429, 500, 502, 503, 504])
})

test('waiting ends when cancelled', async () => {
  await expect(pause({ ...background, signal: AbortSignal.timeout(20) }, 60_000)).rejects.toMatchObject({ code: 'cancelled' })
})
