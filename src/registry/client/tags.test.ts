import { afterEach, expect, test } from 'vitest'
import { memory } from '#image/memory.ts'
import { copy } from '#image/copy.ts'
import { sampleImage } from '#image/testing.ts'
import { startRig, type Rig } from '../testing.ts'

let rig: Rig
afterEach(() => rig[Symbol.asyncDispose]())

async function pushed(...tags: string[]) {
  const image = await sampleImage(rig.cx, { seed: 'tags' })
  const registry = rig.open('acme/web')
  for (const name of tags) await copy(rig.cx, image.source, image.descriptor, registry, { name })
  rig.log()
  return { registry, digest: image.descriptor.digest }
}

test('a tag is deleted with one request where the registry has it', async () => {
  rig = await startRig()
  const { registry } = await pushed('1', '2')
  await registry.deleteTag(rig.cx, '2')
  expect(rig.log()).toEqual(['DELETE /v2/acme/web/manifests/2 202'])
  expect(await registry.listTags(rig.cx)).toEqual(['1'])
})

test('where only manifests can be deleted, the tag is moved to one that nobody has', async () => {
  rig = await startRig({ faults: [{ method: 'DELETE', path: /manifests\/[^:]+$/, status: 405, times: 9 }] })
  const { registry, digest } = await pushed('1', '2')
  await registry.deleteTag(rig.cx, '2')
  expect(await registry.listTags(rig.cx)).toEqual(['1'])
  expect((await registry.resolve(rig.cx, '1')).digest).toBe(digest)
})

test('where nothing can be deleted, the tag is what it was, and that is said', async () => {
  rig = await startRig({ faults: [{ method: 'DELETE', path: /manifests/, status: 405, times: 9 }] })
  const { registry, digest } = await pushed('1', '2')
  await expect(registry.deleteTag(rig.cx, '2')).rejects.toMatchObject({ code: 'unsupported' })
  const other = rig.open('acme/web')
  expect((await other.resolve(rig.cx, '2')).digest).toBe(digest)
  await copy(rig.cx, other, await other.resolve(rig.cx, '2'), memory())
})

test('a tag that is not there is not deleted', async () => {
  rig = await startRig()
  const { registry } = await pushed('1')
  await expect(registry.deleteTag(rig.cx, '2')).rejects.toMatchObject({ code: 'not-found' })
})
