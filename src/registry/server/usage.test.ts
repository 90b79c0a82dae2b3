import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { bytesOf, layerOf, pushImage, type Rig, type Sample, startRig } from '../testing.ts'

let directory: string
let rig: Rig
const quota = { total: 10_000, repository: 6000 }
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stave-usage-'))
  rig = await startRig({ directory, quota })
})
afterEach(async () => {
  await rig[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const push = (repository: string, { what, raw }: Sample) => rig.open(repository).write(cx, what, bytesOf(raw))
async function stored(): Promise<number> {
  const text = await (await fetch(`${rig.server.url}/metrics`)).text()
  return Number(/^stave_registry_stored_bytes (-?\d+)$/m.exec(text)![1])
}
const said = (work: Promise<unknown>, what: string) =>
  expect(work).rejects.toMatchObject({ code: 'denied', cause: { message: expect.stringContaining(what) as string } })
const denied = (work: Promise<unknown>) => expect(work).rejects.toMatchObject({ code: 'denied' })

test('a repository and the whole have an end, which is said, and nothing of what does not fit is kept', async () => {
  await push('a', layerOf(5000))
  await said(push('a', layerOf(1001)), 'the quota of the repository a is 6000 bytes, of which 5000 are used')
  expect(await stored()).toBe(5000)
  await push('b', layerOf(4000))
  await said(push('c', layerOf(1001)), 'the quota of this registry is 10000 bytes')
  await push('a', layerOf(1000))
  expect(await stored()).toBe(10_000)
})

test('content that repositories share counts once in the whole, and in each of them', async () => {
  const layer = layerOf(5000)
  await push('a', layer)
  await push('b', layer)
  expect(await stored()).toBe(5000)
  await rig.open('c').adopt(cx, layer.what, rig.open('a'))
  expect(await stored()).toBe(5000)
  await denied(push('c', layerOf(1001)))
  await push('d', layerOf(2000))
  const mount = await fetch(`${rig.server.url}/v2/d/blobs/uploads/?mount=${layer.what.digest}&from=a`, { method: 'POST' })
  expect(mount.status).toBe(403)
})

test('what is deleted, and what was uploaded in vain, makes room', async () => {
  const layer = layerOf(5000)
  await push('a', layer)
  await rig.open('a').deleteBlob(cx, layer.what.digest)
  expect(await stored()).toBe(0)
  const begin = async () => (await fetch(`${rig.server.url}/v2/a/blobs/uploads/`, { method: 'POST' })).headers.get('location')!
  const [wrong, cancelled, large] = [await begin(), await begin(), await begin()]
  await fetch(rig.server.url + cancelled, { method: 'PATCH', body: 'x'.repeat(500) })
  expect(await stored()).toBe(500)
  await fetch(rig.server.url + cancelled, { method: 'DELETE' })
  expect((await fetch(`${rig.server.url}${wrong}?digest=${layer.what.digest}`, { method: 'PUT', body: 'other' })).status).toBe(400)
  // Without a length nobody can say beforehand that it is too much.
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(4000))
    },
  })
  const response = await fetch(rig.server.url + large, { method: 'PATCH', body, duplex: 'half' })
  expect(response.status).toBe(403)
  expect((await fetch(rig.server.url + large)).status).toBe(404)
  expect(await stored()).toBe(0)
})

test('an image counts with its manifest, and what is there from before counts too', async () => {
  const { config, layer, manifest } = await pushImage(cx, rig.open('a'), 'v1', layerOf(3000))
  await fetch(`${rig.server.url}/v2/a/blobs/uploads/`, { method: 'POST' })
  const size = config.what.size + layer.what.size + manifest.what.size
  expect(await stored()).toBe(size)
  await rig.server.close()
  await using again = await startRig({ directory, quota })
  rig = again
  expect(await stored()).toBe(size)
  await denied(push('a', layerOf(6000 - size + 1)))
  await rig.open('a').deleteManifest(cx, manifest.what.digest)
  expect(await stored()).toBe(size - manifest.what.size)
})

test('many at once do not get past it', async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => push('a', layerOf(1900))))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  expect(await stored()).toBe(5700)
})
