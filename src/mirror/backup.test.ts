import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createOciArchive } from '#archive/create.ts'
import { openArchive } from '#archive/open.ts'
import { background as cx } from '#context.ts'
import { parseReference } from '#oci/reference.ts'
import { bytesOf, indexOf, layerOf, manifestOf, pushImage, type Rig, startRig } from '#registry/testing.ts'
import { backup, type BackupOptions, type BackupRoot } from './backup.ts'
import { readInventories, writeInventory } from './inventory.ts'
import { checkBackup, restore, type RestoreTarget } from './restore.ts'

let near: Rig
let far: Rig
let directory: string
beforeEach(async () => {
  near = await startRig()
  far = await startRig()
  directory = mkdtempSync(join(tmpdir(), 'stave-backup-'))
})
afterEach(async () => {
  await near[Symbol.asyncDispose]()
  await far[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

async function rootOf(repository: string, tag: string): Promise<BackupRoot> {
  const source = near.open(repository)
  return { name: `registry.example/${repository}:${tag}`, repository, source, descriptor: await source.resolve(cx, tag) }
}

async function save(file: string, names: readonly (readonly [string, string])[], options: BackupOptions = {}) {
  await using archive = await createOciArchive(join(directory, file))
  const report = await backup(cx, archive, await Promise.all(names.map(([repository, tag]) => rootOf(repository, tag))), options)
  await archive.finish(cx)
  return report
}

function target(): RestoreTarget {
  const client = far.client()
  const open = (repository: string) => client.open(parseReference(`${far.server.host}/mirror/${repository}`))
  return {
    place(name) {
      const { repository, tag = '' } = parseReference(name)
      return { target: open(repository), newName: tag, repository }
    },
    source: open,
  }
}

async function bring(file: string) {
  await using archive = await openArchive(cx, join(directory, file))
  return await restore(cx, archive, target())
}

test('images of several repositories go through one file, whole, with what refers to them', async () => {
  const shared = layerOf(5000)
  const one = await pushImage(cx, near.open('team/web'), '1', shared)
  const children = [one.manifest, (await pushImage(cx, near.open('team/web'), '2', shared)).manifest]
  const index = indexOf(children)
  const signature = manifestOf(one.config, [], { artifactType: 'application/x-signature', subject: children[0]!.what })
  for (const { what, raw } of [index, signature]) await near.open('team/web').write(cx, what, bytesOf(raw))
  await near.open('team/web').name(cx, index.what, 'all')
  await pushImage(cx, near.open('db'), '15', shared)

  const names = [
    ['team/web', 'all'],
    ['db', '15'],
    ['team/web', '1'],
  ] as const
  const report = await save('a.tar', names, { referrers: true })
  expect(report).toMatchObject({ images: 3, manifests: 5, blobs: 4, omitted: { blobs: 0 } })
  // In whatever order they are named, and whenever: the same bytes.
  await save('b.tar', names.toReversed(), { referrers: true })
  expect(readFileSync(join(directory, 'b.tar')).equals(readFileSync(join(directory, 'a.tar')))).toBe(true)

  await near.server.close()
  const { images } = await bring('a.tar')
  expect(images.map(({ name }) => name.replace(far.server.host, ''))).toEqual([
    '/mirror/db:15',
    '/mirror/team/web:1',
    '/mirror/team/web:all',
  ])
  expect(await far.open('mirror/team/web').resolve(cx, 'all')).toEqual(index.what)
  expect((await far.open('mirror/team/web').referrers(cx, children[0]!.what.digest)).map(({ digest }) => digest)).toEqual([
    signature.what.digest,
  ])
})

test('the next one has only what the other side lacks, and takes the rest over from wherever it is there', async () => {
  const base = layerOf(200_000)
  await pushImage(cx, near.open('web'), '1', base)
  const first = await save('1.tar', [['web', '1']])
  await writeInventory(join(directory, 'far.json'), first.contents)
  await bring('1.tar')

  const { config, layer, manifest } = await pushImage(cx, near.open('new/app'), '1', base)
  const known = await readInventories([join(directory, 'far.json')])
  const second = await save('2.tar', [['new/app', '1']], { known })
  expect(second).toMatchObject({ blobs: 0, omitted: { blobs: 2, bytes: config.what.size + layer.what.size } })
  expect(statSync(join(directory, '2.tar')).size).toBeLessThan(20_000)
  await writeInventory(join(directory, 'far.json'), known.contents, second.contents)
  expect([...(await readInventories([join(directory, 'far.json')])).repositoriesOf(layer.what.digest)]).toEqual(['new/app', 'web'])

  far.log()
  await bring('2.tar')
  expect(await far.open('mirror/new/app').resolve(cx, '1')).toEqual(manifest.what)
  expect(far.log().filter((line) => line.includes('PATCH') || line.includes('PUT /v2/mirror/new/app/blobs'))).toEqual([])
})

test('what was left out and is not there is said, and no image appears that lacks it', async () => {
  const { layer } = await pushImage(cx, near.open('web'), '1')
  await writeInventory(join(directory, 'wrong.json'), new Map([['web', new Set([layer.what.digest])]]))
  await save('1.tar', [['web', '1']], { known: await readInventories([join(directory, 'wrong.json')]) })
  await expect(bring('1.tar')).rejects.toThrow('a blob that the backup leaves out is not in the target either')
  await expect(far.open('mirror/web').resolve(cx, '1')).rejects.toMatchObject({ code: 'not-found' })
})

test('a backup is checked without a network: what is changed or missing in it is found', async () => {
  const { layer } = await pushImage(cx, near.open('web'), '1', layerOf(50_000))
  await save('1.tar', [['web', '1']])
  const check = async (file: string) => {
    await using archive = await openArchive(cx, join(directory, file))
    return await checkBackup(cx, archive)
  }
  expect((await check('1.tar')).map(({ name }) => name)).toEqual(['registry.example/web:1'])
  const { writeFileSync } = await import('node:fs')
  const raw = readFileSync(join(directory, '1.tar'))
  const at = raw.indexOf(Buffer.from(layer.raw.subarray(0, 64)))
  raw[at + 30_000]! ^= 1
  writeFileSync(join(directory, 'bad.tar'), raw)
  await expect(check('bad.tar')).rejects.toMatchObject({ code: 'digest-mismatch' })
  // The blob under another name.
  const renamed = readFileSync(join(directory, '1.tar'))
  const name = renamed.indexOf(layer.what.digest.slice(7))
  renamed.write('0'.repeat(64), name)
  let sum = 8 * 32
  const header = renamed.subarray(name - 'blobs/sha256/'.length, name - 'blobs/sha256/'.length + 512)
  for (const [position, byte] of header.entries()) if (position < 148 || position >= 156) sum += byte
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  writeFileSync(join(directory, 'missing.tar'), renamed)
  await expect(check('missing.tar')).rejects.toMatchObject({ code: 'blob-unknown' })
  await expect(bring('missing.tar')).rejects.toMatchObject({ code: 'blob-unknown' })
  // Nothing was written before that.
  expect(far.log().filter((line) => /^(POST|PUT|PATCH)/.test(line))).toEqual([])
})

test.each(['', '{}', '{"inventoryVersion":2,"repositories":{}}', '{"inventoryVersion":1,"repositories":{"a":["x"]}}'])(
  'an inventory that is none is refused: %j',
  async (text) => {
    const { writeFileSync } = await import('node:fs')
    writeFileSync(join(directory, 'bad.json'), text)
    await expect(readInventories([join(directory, 'bad.json')])).rejects.toMatchObject({ code: 'invalid-document' })
  },
)
