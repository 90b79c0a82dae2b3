import { expect, test } from 'vitest'
import { parseRestart, restartDelayMs, wantsRestart, wantsStart, wasShort } from './restart.ts'

test.each([
  ['no', undefined],
  ['', undefined],
  ['always', { name: 'always' }],
  ['unless-stopped', { name: 'unless-stopped' }],
  ['on-failure', { name: 'on-failure' }],
  ['on-failure:0', { name: 'on-failure' }],
  ['on-failure:3', { name: 'on-failure', maximum: 3 }],
] as const)('--restart %s', (text, policy) => {
  expect(parseRestart(text)).toEqual(policy)
})

test.each(['always:3', 'on-failure:x', 'on-failure:-1', 'sometimes'])('--restart %s is refused', (text) => {
  expect(() => parseRestart(text)).toThrow(expect.objectContaining({ code: 'usage' }))
})

test('the policy, how it ended and who ended it decide', () => {
  const always = { restart: { name: 'always' } } as const
  const failure = { restart: { name: 'on-failure', maximum: 2 } } as const
  expect(wantsRestart({}, 1)).toBe(false)
  expect(wantsRestart(always, 0)).toBe(true)
  expect(wantsRestart({ ...always, stopped: true }, 0)).toBe(false)
  expect(wantsRestart(failure, 0)).toBe(false)
  expect(wantsRestart({ ...failure, restarts: 1 }, 1)).toBe(true)
  expect(wantsRestart({ ...failure, restarts: 2 }, 1)).toBe(false)
  expect(wantsStart({ ...always, stopped: true }, 0)).toBe(true)
  expect(wantsStart({ restart: { name: 'unless-stopped' }, stopped: true }, 0)).toBe(false)
})

test('waits double up to a minute, and a long life ends that', () => {
  expect([0, 1, 2, 9, 10, 1000].map(restartDelayMs)).toEqual([100, 200, 400, 51_200, 60_000, 60_000])
  expect(wasShort('2026-01-01T00:00:00Z', '2026-01-01T00:00:09.9Z')).toBe(true)
  expect(wasShort('2026-01-01T00:00:00Z', '2026-01-01T00:00:10Z')).toBe(false)
})
