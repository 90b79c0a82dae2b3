import { mkdtemp, readdir, rm, stat, utimes } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { bytesOf, configOf, indexOf, layerOf, manifestOf, pushImage, type Rig, type Sample, startRig } from '../testing.ts'
import { collect } from './collect.ts'
import { lockDirectory } from './directory-lock.ts'
import { createManifests } from './manifests.ts'
import { serve } from './server.ts'
import { openStorage, type Storage } from './storage.ts'

let directory: string
let rig: Rig
let storage: Storage
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stave-collect-'))
  rig = await startRig({ directory })
  // The very directory that is served: what both do is in files.
  storage = await openStorage(directory)
})
afterEach(async () => {
  await rig[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Makes everything that is kept look as if nobody had asked for it since long ago. */
async function age(): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && !entry.name.startsWith('.lock')) await utimes(path.join(entry.parentPath, entry.name), 1, 1)
}

const isKept = ({ what }: Sample) =>
  stat(path.join(directory, 'blobs', ...what.digest.split(':'))).then(
    () => true,
    () => false,
  )
const everything = { graceMs: 0, untaggedMs: 0, uploadMs: 0 }

async function push(repository: string, ...all: readonly Sample[]): Promise<void> {
  for (const { what, raw } of all) await rig.open(repository).write(cx, what, bytesOf(raw))
}

test('what a tag leads to stays, and its referrers; all else goes when it is old', async () => {
  const { config, layer, manifest } = await pushImage(cx, rig.open('a'), 'v1')
  const signature = manifestOf(config, [], { artifactType: 'application/x-signature', subject: manifest.what })
  const [lost, orphan] = [layerOf(100), layerOf(200)]
  const untagged = manifestOf(config, [lost])
  await push('a', signature, lost, untagged, orphan)
  await (await fetch(`${rig.server.url}/v2/a/blobs/uploads/`, { method: 'POST' })).body?.cancel()
  expect(await collect(storage, everything)).toMatchObject({ manifests: 0, blobs: 0, uploads: 0, bytes: 0 })

  await age()
  expect(await collect(storage, { ...everything, dryRun: true })).toMatchObject({ manifests: 1, blobs: 2, uploads: 1 })
  expect(await collect(storage)).toMatchObject({ manifests: 0, blobs: 1, uploads: 1, bytes: 200 })
  expect(await collect(storage, everything)).toMatchObject({ manifests: 1, blobs: 1, bytes: 100 + untagged.raw.length })
  expect(await Promise.all([config, layer, manifest, signature, lost, orphan, untagged].map(isKept))).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ])
  expect((await rig.open('a').referrers(cx, manifest.what.digest)).map(({ digest }) => digest)).toEqual([signature.what.digest])
})

test('an index keeps its images, and takes them along when it goes, with what refers to them', async () => {
  const registry = rig.open('a')
  const children = [(await pushImage(cx, registry, 'one')).manifest, (await pushImage(cx, registry, 'two')).manifest]
  const index = indexOf(children)
  await push('a', index)
  await registry.name(cx, index.what, 'all')
  for (const tag of ['one', 'two']) await registry.deleteTag(cx, tag)
  await age()
  expect(await collect(storage, everything)).toMatchObject({ manifests: 0, blobs: 0 })
  await registry.deleteTag(cx, 'all')
  expect(await collect(storage, everything)).toMatchObject({ manifests: 3, blobs: 4 })
  expect(await readdir(path.join(directory, 'blobs/sha256'))).toEqual([])
})

test('an index that refers to an image that is in it is removed like others', async () => {
  const registry = rig.open('a')
  const { manifest } = await pushImage(cx, registry, 'one')
  const { what, raw } = indexOf([manifest])
  const circle = { ...(JSON.parse(Buffer.from(raw).toString()) as object), subject: manifest.what }
  const put = await fetch(`${rig.server.url}/v2/a/manifests/circle`, {
    method: 'PUT',
    body: JSON.stringify(circle),
    headers: { 'content-type': what.mediaType },
  })
  expect(put.status).toBe(201)
  for (const tag of ['one', 'circle']) await registry.deleteTag(cx, tag)
  await age()
  expect(await collect(storage, everything)).toMatchObject({ manifests: 2, blobs: 2 })
})

test('content stays as long as one repository has it', async () => {
  const layer = layerOf(100)
  await push('b', layer)
  await pushImage(cx, rig.open('a'), 'v1', layer)
  await age()
  expect(await collect(storage, everything)).toMatchObject({ blobs: 1, bytes: 0 })
  expect(await isKept(layer)).toBe(true)
})

test('what was asked for lately stays: who finds a blob there may push a manifest that mentions it', async () => {
  const [found, mentioned] = [layerOf(100), layerOf(200)]
  const { config } = await pushImage(cx, rig.open('a'), 'v1')
  await push('a', found, mentioned)
  await age()
  await fetch(`${rig.server.url}/v2/a/blobs/${found.what.digest}`, { method: 'HEAD' })
  await push('a', manifestOf(config, [mentioned]))
  await rig.open('a').deleteManifest(cx, manifestOf(config, [mentioned]).what.digest)
  expect(await collect(storage, everything)).toMatchObject({ blobs: 0 })
  expect(await rig.open('a').has(cx, found.what)).toBe(true)
})

test('a repository with a manifest that cannot be read is left as it is, and said', async () => {
  const { manifest } = await pushImage(cx, rig.open('a'), 'v1')
  await push('a', layerOf(100))
  const { writeFile } = await import('node:fs/promises')
  await writeFile(path.join(directory, 'blobs', ...manifest.what.digest.split(':')), '{')
  await age()
  const { blobs, bytes, skipped } = await collect(storage, everything)
  expect([blobs, bytes, skipped.length]).toEqual([0, 0, 1])
})

test('a manifest that is pushed again while garbage is collected stays, with all that it mentions', async () => {
  const registry = rig.open('a')
  const { layer, config, manifest } = await pushImage(cx, registry, 'one')
  const inner = indexOf([manifest])
  const outer = indexOf([inner])
  await push('a', inner, outer)
  await registry.deleteTag(cx, 'one')
  await age()
  // The moment at which the outer one is about to go, when all was found to be garbage.
  const late: Storage = {
    ...storage,
    inTurn: async (repository, act) => {
      if ((await storage.linkUsed('a', 'manifests', outer.what.digest)) === 1000) await push('a', outer)
      return storage.inTurn(repository, act)
    },
  }
  expect(await collect(late, everything)).toMatchObject({ manifests: 0, blobs: 0 })
  expect(await Promise.all([outer, inner, manifest, layer, config].map(isKept))).toEqual([true, true, true, true, true])
})

test('beside those who push, a manifest is refused or has all that it mentions', async () => {
  const manifests = createManifests(storage)
  const put = ({ what, raw }: Sample, name: string) =>
    manifests.put({
      repository: 'a',
      name,
      headers: { 'content-type': what.mediaType },
      query: new URLSearchParams(),
      body: bytesOf(raw),
      tell: () => {},
    })
  const kept: Sample[] = []
  let refused = 0
  for (let round = 0; round < 12; round++) {
    const images = Array.from({ length: 6 }, (_, at) => ({ config: configOf(`${round} ${at}`), layer: layerOf(500 + at) }))
    for (const { config, layer } of images) await push('a', config, layer)
    // Whoever pushes was slow: all that no manifest mentions yet is garbage by now.
    await age()
    const pushing = images.map(async ({ config, layer }, at) => {
      const image = manifestOf(config, [layer])
      const index = indexOf([image])
      await setTimeout(Math.random() * 30)
      try {
        await put(image, image.what.digest)
        await put(index, `t${round}-${at}`)
        kept.push(config, layer, image, index)
      } catch (error) {
        expect(error).toMatchObject({ code: 'MANIFEST_BLOB_UNKNOWN' })
        refused++
      }
    })
    await Promise.all([collect(storage, everything), ...pushing])
  }
  expect(await Promise.all(kept.map(isKept))).toEqual(kept.map(() => true))
  expect(kept.length / 4 + refused).toBe(12 * 6)
})

describe('one process at a time writes', () => {
  test('a second one is refused, one that only reads is not', async () => {
    await expect(serve({ directory })).rejects.toMatchObject({ code: 'in-use' })
    await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'in-use' })
    await pushImage(cx, rig.open('a'), 'v1')
    const reader = await serve({ directory, readOnly: true })
    expect((await fetch(`${reader.url}/v2/a/manifests/v1`)).status).toBe(200)
    await reader.close()
    await rig.server.close()
    await (await serve({ directory })).close()
  })

  test('garbage is collected while it serves, and what is young cannot be', async () => {
    const orphan = layerOf(100)
    await push('a', orphan)
    await age()
    await rig.server.close()
    await expect(serve({ directory, collect: { everyMs: 1000, graceMs: 1000 } })).rejects.toMatchObject({ code: 'usage' })
    const server = await serve({ directory, collect: { everyMs: 20 } })
    await expect.poll(() => isKept(orphan), { timeout: 10_000 }).toBe(false)
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain('stave_registry_collected_total{kind="blobs"} 1')
    await server.close()
  })
})
