import { closeSync, openSync, readdirSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack, type Header } from 'tar-stream'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { background, type Context } from '#context.ts'
import type { Event } from '#event.ts'
import type { Image } from '#image/image.ts'
import { addBusybox, addImage, removeStore, temporaryRoot, testRunner, whyNoContainers } from './busybox.fixture.ts'
import { doctor } from './doctor.ts'
import { openStore, type LocalStore } from './open.ts'
import type { StorageDriver } from './snapshots.ts'
import type { Snapshot } from './store.ts'

let root: string
let store: LocalStore
const events: Event[] = []
const cx: Context = { ...background, report: (event) => void events.push(event) }

async function whyNotMounted(): Promise<string | undefined> {
  const reason = whyNoContainers()
  if (reason !== undefined) return reason
  const place = temporaryRoot()
  const probed = await testRunner(place).probe(background)
  return probed.erofs ? undefined : probed.whyNoErofs
}
const reason = await whyNotMounted()

const open = (driver: StorageDriver) => openStore({ root, runner: testRunner(root), driver })
beforeAll(() => {
  if (reason !== undefined) console.error(`mounted layers: skipped, because ${reason}`)
})
beforeEach(async () => {
  events.length = 0
  root = temporaryRoot()
  store = await open('auto')
})
afterEach(() => removeStore(store))

const formsOf = () => store.database.all('SELECT form FROM snapshot').map(({ form }) => form)
const idsOf = (snapshots: readonly Snapshot[]) => snapshots.map(({ id }) => id)
const files = (snapshot: Snapshot) => readdirSync(join(root, 'snapshots', snapshot.id)).sort()
async function content(of: LocalStore, snapshots: readonly Snapshot[], path: string): Promise<string | undefined> {
  const lowers = snapshots.map((snapshot) => snapshot.place).toReversed()
  const found = await of.runner.read(cx, { from: { kind: 'lowers', lowers }, paths: [path], maxBytes: 1000 })
  return found.files[0] === undefined ? undefined : Buffer.from(found.files[0].base64, 'base64').toString()
}
const isWhole = async (of: LocalStore, snapshots: readonly Snapshot[]) => {
  expect(await content(of, snapshots, 'data/sub/file')).toBe('from the image\n')
  expect(await content(of, snapshots, 'etc/gone')).toBeUndefined()
}

/** A tar of one member. */
async function tarOf(header: Partial<Header> & { name: string }, data = ''): Promise<Buffer> {
  const archive = pack()
  archive.entry(header, data)
  archive.finalize()
  return buffer(archive)
}

describe.skipIf(reason !== undefined)('layers as tar and index', () => {
  let image: Image
  beforeEach(async () => {
    image = await addBusybox(store, 'busybox')
  })

  test('make two files, and look the same; the index has the mode of the root', async () => {
    const snapshots = await store.snapshots.ensure(cx, image)
    for (const snapshot of snapshots) expect(files(snapshot)).toEqual(['fs', 'tar'])
    expect(formsOf()).toEqual(['index', 'index'])
    await isWhole(store, snapshots)
    expect(statSync(join(root, 'snapshots', snapshots[0]!.id, 'fs')).mode & 0o7777).toBe(0o755)
    // These layers are not compressed: their blobs are the tars, and take their place once.
    const stat = ({ id }: Snapshot, name: string) => statSync(join(root, 'snapshots', id, name))
    for (const [position, snapshot] of snapshots.entries()) {
      const blob = statSync(join(root, 'blobs', image.manifest.layers[position]!.digest.replace(':', '/')))
      expect(stat(snapshot, 'tar').ino).toBe(blob.ino)
    }
    const rows = snapshots.map(({ id }) => store.database.get('SELECT bytes FROM snapshot WHERE id = ?', id)?.['bytes'])
    expect(rows).toEqual(snapshots.map((snapshot) => stat(snapshot, 'fs').size))
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  })

  test('are trees where that is asked for, beside the others and in place of them', async () => {
    const mounted = await store.snapshots.ensure(cx, image)
    await using trees = await open('dir')
    expect(trees.snapshots.find(idsOf(mounted))).toBeUndefined()
    const unpacked = await trees.snapshots.ensure(cx, image)
    for (const snapshot of unpacked) expect(files(snapshot)).toEqual(['fs'])
    await isWhole(trees, unpacked)
    expect(formsOf()).toEqual(['tree', 'tree'])
    // What is unpacked is used as it is.
    expect(idsOf(await store.snapshots.ensure(cx, image))).toEqual(idsOf(unpacked))
  })

  test('of an earlier boot are used again once this machine is known to mount them, and never where it cannot', async () => {
    const before = await store.snapshots.ensure(cx, image)
    const ids = idsOf(before)
    store.database.run("UPDATE snapshot SET boot = 'earlier', settled = 1")
    expect(store.snapshots.find(ids)).toBeUndefined()
    expect(idsOf(await store.snapshots.ensure(cx, image))).toEqual(ids)
    expect(idsOf(store.snapshots.find(ids) ?? [])).toEqual(ids)
    store.database.run("UPDATE snapshot SET boot = 'earlier'")
    const runner = testRunner(root)
    const weak = { ...runner, probe: async () => ({ ...(await runner.probe(cx)), erofs: false }) }
    await using other = await openStore({ root, runner: weak, driver: 'auto' })
    const after = await other.snapshots.ensure(cx, image)
    for (const [position, { id }] of after.entries()) expect(id).not.toBe(ids[position])
    await isWhole(other, after)
  })

  test('of another version of stave are made again', async () => {
    const before = idsOf(await store.snapshots.ensure(cx, image))
    store.database.run("UPDATE snapshot SET form = 'index-9'")
    expect(store.snapshots.find(before)).toBeUndefined()
    const after = await store.snapshots.ensure(cx, image)
    expect(idsOf(after)).not.toEqual(before)
    await isWhole(store, after)
  })

  test('are unpacked where an index cannot say what they hold, and that is said', async () => {
    // A hard link to a file of the layer below: its bytes lie in another tar.
    const linked = await addImage(store, 'linked', [
      await tarOf({ name: 'file' }, 'shared\n'),
      await tarOf({ name: 'other/name', type: 'link', linkname: 'file' }),
      await tarOf({ name: 'other/third' }, 'above\n'),
    ])
    const snapshots = await store.snapshots.ensure(cx, linked)
    expect(snapshots.map(files)).toEqual([['fs', 'tar'], ['fs'], expect.arrayContaining(['fs'])])
    expect(await content(store, snapshots, 'other/name')).toBe('shared\n')
    expect(await content(store, snapshots, 'other/third')).toBe('above\n')
    const said = events.flatMap((event) => (event.type === 'debug' ? [event.message] : []))
    expect(said[0]).toMatch(/^layer sha256:.* is unpacked and not mounted: .*a hard link points into the layers below/)
  })

  test('that were cut are not mounted; what else was changed is found by doctor, and made again', async () => {
    // Compressed, so that the tar is a file of its own.
    const zipped = await addImage(store, 'zipped', [gzipSync(await tarOf({ name: 'data/sub/file' }, 'from the image\n'))])
    const [base] = await store.snapshots.ensure(cx, zipped)
    const { size } = statSync(join(root, 'snapshots', base!.id, 'fs'))
    const tar = join(root, 'snapshots', base!.id, 'tar')
    const row = store.database.get('SELECT bytes FROM snapshot WHERE id = ?', base!.id)
    expect(row).toEqual({ bytes: size + statSync(tar).size })
    const fd = openSync(tar, 'r+')
    writeSync(fd, 'X', 2000)
    closeSync(fd)
    expect((await doctor(cx, store)).map(({ kind }) => kind)).toEqual([])
    expect((await doctor(cx, store, { verify: true })).map(({ kind }) => kind)).toEqual(['snapshot-damaged'])
    truncateSync(tar, 1024)
    await expect(content(store, [base!], 'data/sub/file')).rejects.toMatchObject({
      code: 'invalid-layer',
      message: expect.stringContaining('the tar of a layer has another length than was written'),
    })
    await doctor(cx, store, { verify: true, repair: true })
    await isWhole(store, await store.snapshots.ensure(cx, zipped))
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  })

  test('whose files are gone are told of', async () => {
    const [, top] = await store.snapshots.ensure(cx, image)
    await store.runner.remove(cx, { trees: [{ fd: store.directory, path: `snapshots/${top!.id}/tar` }] })
    expect(await doctor(cx, store, { repair: true })).toMatchObject([{ kind: 'snapshot-lost' }, { kind: 'leftover' }])
    await isWhole(store, await store.snapshots.ensure(cx, image))
  })
})
