import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { locateRunner } from '#runner/locate.ts'
import { addBusybox, removeStore, temporaryRoot, testRunner, whyNoContainers } from './busybox.fixture.ts'
import { doctor } from './doctor.ts'
import { openStore, type LocalStore } from './open.ts'
import { prune } from './prune.ts'
import { chainIds, type StorageDriver } from './snapshots.ts'

const reason = whyNoContainers()
/** See vitest.config.ts. */
const testedDriver = process.env['STAVE_STORAGE_DRIVER'] as StorageDriver | undefined
let root: string
let store: LocalStore
const open = () => openStore({ root, runner: testRunner(root), driver: testedDriver })

beforeEach(async () => {
  root = temporaryRoot()
  store = await open()
})
afterEach(async () => {
  await removeStore(store)
})

/** Directories below snapshots/ that no row speaks of. */
const orphans = () => {
  const known = new Set(store.database.all('SELECT id FROM snapshot').map((row) => row['id']))
  return readdirSync(join(root, 'snapshots')).filter((id) => !known.has(id))
}

describe.skipIf(reason !== undefined)(`snapshots${reason === undefined ? '' : `: skipped, because ${reason}`}`, () => {
  test('every layer is a tree of its own, found again by its chain', async () => {
    const image = await addBusybox(store, 'busybox')
    const snapshots = await store.snapshots.ensure(cx, image)
    expect(snapshots).toHaveLength(2)
    const diffIds = (await image.layers(cx)).map((layer) => layer.diffId)
    expect(store.snapshots.get(diffIds)?.id).toBe(snapshots[1]!.id)
    expect(store.snapshots.get(diffIds.slice(0, 1))?.id).toBe(snapshots[0]!.id)
    expect(store.snapshots.get([diffIds[1]!])).toBeUndefined()
    const lowers = snapshots.map((snapshot) => snapshot.place).toReversed()
    const { files } = await store.runner.read(cx, {
      from: { kind: 'lowers', lowers },
      paths: ['etc/passwd', 'etc/gone', 'data/sub/file'],
      maxBytes: 1000,
    })
    expect(files.map(({ base64 }) => Buffer.from(base64, 'base64').toString().split('\n')[0]).sort()).toEqual([
      'from the image',
      'root:x:0:0:root:/root:/bin/sh',
    ])
    const started = performance.now()
    expect(await store.snapshots.ensure(cx, image)).toEqual(snapshots)
    expect(performance.now() - started).toBeLessThan(50)
    expect(orphans()).toEqual([])
  })

  test('an image with another layer on the same base shares the base', async () => {
    const [first] = await store.snapshots.ensure(cx, await addBusybox(store, 'one', { Cmd: ['a'] }))
    const [second] = await store.snapshots.ensure(cx, await addBusybox(store, 'two', { Cmd: ['b'] }))
    expect(second).toEqual(first)
    expect(readdirSync(join(root, 'snapshots'))).toHaveLength(2)
  })

  test('asked for many times at once, a layer is unpacked once', async () => {
    const image = await addBusybox(store, 'busybox')
    await using other = await open()
    const all = await Promise.all([store, other, store, other].map((each) => each.snapshots.ensure(cx, image)))
    for (const snapshots of all) expect(snapshots.map((snapshot) => snapshot.id)).toEqual(all[0]!.map((snapshot) => snapshot.id))
    expect(orphans()).toEqual([])
    expect(store.database.all('SELECT * FROM claim')).toEqual([])
  })

  test('a layer that is not there, or was damaged, is an error and leaves nothing', async () => {
    const image = await addBusybox(store, 'busybox')
    const [, top] = await image.layers(cx)
    const path = store.blobs.path(top!.descriptor.digest)
    writeFileSync(path, Buffer.alloc(top!.descriptor.size, 'x'))
    await expect(store.snapshots.ensure(cx, image)).rejects.toMatchObject({
      code: expect.stringMatching(/^(digest-mismatch|invalid-layer)$/),
    })
    expect(orphans()).toEqual([])
    expect(store.database.all('SELECT * FROM pending')).toEqual([])
    rmSync(path)
    await expect(store.snapshots.ensure(cx, image)).rejects.toMatchObject({ code: 'blob-unknown' })
    expect(await doctor(cx, store).then((problems) => problems.map((problem) => problem.kind))).toEqual(['image-incomplete'])
  })

  test('a tree of an earlier boot that may not have reached the disk is made again', async () => {
    const image = await addBusybox(store, 'busybox')
    const before = await store.snapshots.ensure(cx, image)
    store.database.run("UPDATE snapshot SET boot = 'earlier' WHERE id = ?", before[1]!.id)
    store.database.run("UPDATE snapshot SET boot = 'earlier', settled = 1 WHERE id = ?", before[0]!.id)
    const after = await store.snapshots.ensure(cx, image)
    expect(after[0]).toEqual(before[0])
    expect(after[1]!.id).not.toBe(before[1]!.id)
    expect(orphans()).toEqual([before[1]!.id])
    await doctor(cx, store, { repair: true })
    expect(orphans()).toEqual([])
  })

  test('one used long after it was made counts as settled', async () => {
    const image = await addBusybox(store, 'busybox')
    await store.snapshots.ensure(cx, image)
    store.database.run('UPDATE snapshot SET created = created - 120000')
    await store.snapshots.ensure(cx, image)
    expect(store.database.all('SELECT settled FROM snapshot')).toEqual([{ settled: 1 }, { settled: 1 }])
  })

  test('a build’s tree is published under its chain; the slower of two is dropped later', async () => {
    const chain = [digestOf('base'), digestOf('step')] as Digest[]
    const one = await store.snapshots.create()
    const two = await store.snapshots.create()
    for (const { place } of [one, two]) mkdirSync(join(root, place.path!, 'fs'))
    expect(store.snapshots.get(chain)).toBeUndefined()
    const published = await store.snapshots.commit(one.id, chain)
    expect(published).toEqual({ id: one.id, place: { fd: store.directory, path: `snapshots/${one.id}/fs` } })
    expect(await store.snapshots.commit(two.id, chain)).toEqual(published)
    expect(store.snapshots.get(chain)).toEqual(published)
    // Something may still be using it as a lower: it stays while this process lives.
    await prune(cx, store)
    expect(orphans()).toEqual([two.id])
    store.database.run('UPDATE pending SET pid = 999999999')
    await prune(cx, store)
    expect(orphans()).toEqual([])
    const three = await store.snapshots.create()
    await store.snapshots.discard(three.id)
    expect(existsSync(join(root, three.place.path!))).toBe(false)
  })

  test('prune removes the trees of images that are gone, and their parents only with them', async () => {
    const image = await addBusybox(store, 'busybox')
    const snapshots = await store.snapshots.ensure(cx, image)
    expect((await prune(cx, store)).snapshots).toBe(0)
    store.names.delete('docker.io/library/busybox:latest')
    store.database.run('DELETE FROM writer')
    {
      using _lease = store.leases.hold('snapshot', snapshots[1]!.id)
      expect((await prune(cx, store)).snapshots).toBe(0)
    }
    const kept = snapshots.map(({ place }) => statSync(join(root, place.path!)))
    const report = await prune(cx, store)
    expect(report.snapshots).toBe(2)
    // The tar of a mounted layer is here the blob itself, which stays: what goes are the indexes.
    if (kept.every((stat) => stat.isFile())) expect(report.bytes).toBe(kept.reduce((sum, { size }) => sum + size, 0))
    else expect(report.bytes).toBeGreaterThan(500_000)
    expect(readdirSync(join(root, 'snapshots'))).toEqual([])
  })

  test('killed while unpacking, at any instant: nothing half is visible, and the next one succeeds', async () => {
    const image = await addBusybox(store, 'busybox')
    const program = `
      import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))}
      import { openImage } from ${JSON.stringify(join(import.meta.dirname, '../image/image.ts'))}
      import { createRunner } from ${JSON.stringify(join(import.meta.dirname, '../runner/runner.ts'))}
      const [root, binary] = process.argv.slice(2)
      const cx = { signal: new AbortController().signal, report() {} }
      await using store = await openStore({ root, runner: createRunner({ binary, uid: process.getuid(), root }), driver: ${JSON.stringify(testedDriver)} })
      const image = await openImage(cx, store, await store.resolve(cx, 'busybox'))
      console.log('ready')
      await store.snapshots.ensure(cx, image)`
    const file = join(root, 'unpacker.mts')
    writeFileSync(file, program)
    const chains = chainIds((await image.layers(cx)).map((layer) => layer.diffId))
    for (let round = 0; round < 8; round++) {
      store.database.run('DELETE FROM snapshot')
      const child = spawn(process.execPath, [file, root, locateRunner()], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, round * 3))
      child.kill('SIGKILL')
      await ended
      for (const chain of chains) {
        const row = store.database.get('SELECT id FROM snapshot WHERE chain = ?', chain)
        if (row !== undefined) expect(existsSync(join(root, 'snapshots', String(row['id']), 'fs'))).toBe(true)
      }
      expect(await store.snapshots.ensure(cx, image)).toHaveLength(2)
    }
    await doctor(cx, store, { repair: true })
    expect(await doctor(cx, store, { verify: true })).toEqual([])
    expect(orphans()).toEqual([])
  })
})
