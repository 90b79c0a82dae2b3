import { hashSync } from 'bcryptjs'
import { expect, test } from 'vitest'
import * as limit from '#limit.ts'
import { createPasswords } from './passwords.ts'

const slow = hashSync('geheim', 11)

test('a check of a slow hash leaves the thread that serves free', async () => {
  await using passwords = createPasswords({ user: slow })
  // The first check also starts the thread.
  await passwords.check('user', 'a')
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 1)
  const started = performance.now()
  expect(await Promise.all([passwords.check('user', 'b'), passwords.check('user', 'c'), passwords.check('user', 'geheim')])).toEqual([
    false,
    false,
    true,
  ])
  clearInterval(timer)
  const whole = performance.now() - started
  expect(longest).toBeLessThan(whole / 3)
})

test('an unknown name, and one with a quicker hash, take as long as a known one', async () => {
  await using passwords = createPasswords({ user: slow, quick: 'plain' })
  await passwords.check('user', 'warm')
  const timeOf = async (user: string) => {
    const started = performance.now()
    expect(await passwords.check(user, `wrong ${Math.random()}`)).toBe(false)
    return performance.now() - started
  }
  const [known, unknown, quick] = [await timeOf('user'), await timeOf('nobody'), await timeOf('quick')]
  expect(unknown).toBeGreaterThan(known / 3)
  expect(quick).toBeGreaterThan(known / 3)
})

test('one more than may wait is refused, and told to come back', async () => {
  await using passwords = createPasswords({ user: hashSync('geheim', 4) })
  const checks = Array.from({ length: limit.passwordsWaiting + 1 }, (_, at) => passwords.check('user', String(at)))
  const results = await Promise.allSettled(checks)
  expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: { status: 429, headers: { 'retry-after': 1 } } })
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(limit.passwordsWaiting)
})

test('the same password many times at once is one check', async () => {
  await using passwords = createPasswords({ user: hashSync('geheim', 4) })
  const checks = Array.from({ length: limit.passwordsWaiting * 3 }, () => passwords.check('user', 'geheim'))
  expect(new Set(await Promise.all(checks))).toEqual(new Set([true]))
})

test('a hash of a higher cost than is computed lets nobody in, at once', async () => {
  const kept = slow.replace('$11$', `$${limit.bcryptCost + 1}$`)
  await using passwords = createPasswords({ user: kept })
  expect(await passwords.check('user', 'geheim')).toBe(false)
})
