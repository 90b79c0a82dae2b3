import type { Store } from './store.ts'
import { mkdtempSync, readdirSync, rmSync, symlinkSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background } from '#context.ts'
import { lock, tryLock } from './lock.ts'

let root: string
let store: Store
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stave-lock-'))
  store = { root } as unknown as Store
})
afterEach(() => rmSync(root, { recursive: true }))

test('one holds it, the next waits', async () => {
  const first = await lock(background, store, 'a/b')
  expect(first.waited).toBe(false)
  expect(tryLock(store, 'a/b')).toBeUndefined()
  setTimeout(() => first[Symbol.dispose](), 30)
  const second = await lock(background, store, 'a/b')
  expect(second.waited).toBe(true)
  second[Symbol.dispose]()
  expect(readdirSync(join(root, 'a'))).toEqual([])
})

test("a dead process's lock is taken over, and one of a reused process id", () => {
  mkdirSync(join(root, 'a'))
  symlinkSync('999999999 1', join(root, 'a/dead'))
  symlinkSync(`${process.pid} 1`, join(root, 'a/reused'))
  expect(tryLock(store, 'a/dead')).toBeDefined()
  expect(tryLock(store, 'a/reused')).toBeDefined()
})

test('waiting can be cancelled', async () => {
  using _held = tryLock(store, 'x') as Disposable
  await expect(lock({ signal: AbortSignal.timeout(30), report() {} }, store, 'x')).rejects.toThrow()
})
