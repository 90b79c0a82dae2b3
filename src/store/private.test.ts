import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { createRunner } from '#runner/runner.ts'
import { doctor } from './doctor.ts'
import { openStore } from './open.ts'
import { openToOthers, storeDirectories } from './private.ts'

let parent: string
let root: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'stave-private-'))
  root = join(parent, 'store')
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

const modeOf = (...path: string[]) => (statSync(join(root, ...path)).mode & 0o7777).toString(8)

/** Opens the store, asks its database something, and closes it. */
async function use(): Promise<void> {
  await using store = await openStore({ root, runner: createRunner({ binary: '/nonexistent/stave-runner', uid: 0, root }) })
  store.names.list()
  for (const file of ['stave.db', 'stave.db-wal', 'stave.db-shm']) expect(modeOf(file), file).toBe('600')
}

/** A store as releases before this made it. */
async function oldStore(): Promise<void> {
  await use()
  chmodSync(root, 0o711)
  for (const name of storeDirectories) chmodSync(join(root, name), 0o755)
  chmodSync(join(root, 'stave.db'), 0o644)
}

test('a new store is for its owner, whatever the umask', async () => {
  const before = process.umask(0)
  try {
    await use()
  } finally {
    process.umask(before)
  }
  expect(modeOf()).toBe('700')
  for (const name of storeDirectories) expect(modeOf(name), name).toBe('700')
})

test('one that is open is closed when it is opened', async () => {
  await oldStore()
  expect(openToOthers(root)).toHaveLength(storeDirectories.length + 2)
  await use()
  expect(openToOthers(root)).toEqual([])
  expect(modeOf()).toBe('700')
  for (const name of storeDirectories) expect(modeOf(name), name).toBe('700')
})

test('a directory that holds other things keeps its mode, and the store in it is closed', async () => {
  await oldStore()
  chmodSync(root, 0o755)
  writeFileSync(join(root, 'letter'), '')
  mkdirSync(join(root, 'music'))
  await use()
  expect(modeOf()).toBe('755')
  for (const name of storeDirectories) expect(modeOf(name), name).toBe('700')
  expect(openToOthers(root)).toEqual([])
})

test('everybody’s directory stays everybody’s', async () => {
  mkdirSync(root)
  chmodSync(root, 0o1777)
  await use()
  expect(modeOf()).toBe('1777')
  expect(openToOthers(root)).toEqual([])
})

test('doctor says what was opened since, and closes it', async () => {
  await use()
  await using store = await openStore({ root, runner: createRunner({ binary: '/nonexistent/stave-runner', uid: 0, root }) })
  chmodSync(root, 0o755)
  chmodSync(join(root, 'volumes'), 0o755)
  const problems = async (repair: boolean) => (await doctor(cx, store, { repair })).filter(({ kind }) => kind === 'open-to-others')
  expect((await problems(false)).map(({ message }) => message)).toEqual([
    expect.stringContaining(`${root} can be entered`),
    expect.stringContaining(`${root}/volumes can be`),
  ])
  expect(await problems(true)).toMatchObject([{ repaired: true }, { repaired: true }])
  expect(await problems(false)).toEqual([])
})
