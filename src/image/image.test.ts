import { describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import type { Digest } from '#oci/digest.ts'
import { parsePlatform } from '#oci/platform.ts'
import { makeIndex } from './edit.ts'
import { openImage, readManifest } from './image.ts'
import { memory } from './memory.ts'
import { sampleImage, sampleIndex } from './testing.ts'

const cx = background

describe('openImage', () => {
  test('a manifest', async () => {
    const sample = await sampleImage(cx)
    const image = await openImage(cx, sample.source, sample.descriptor)
    expect(Buffer.from(image.raw)).toEqual(Buffer.from(sample.raw))
    expect((await image.config(cx)).config?.Cmd).toEqual(['/bin/sh'])
    const layers = await image.layers(cx)
    expect(layers.map((layer) => layer.descriptor.digest)).toEqual(image.manifest.layers.map((layer) => layer.digest))
  })

  test('of an index, the one for a platform', async () => {
    const index = await sampleIndex(cx)
    for (const [position, platform] of ['linux/amd64', 'linux/arm64'].entries()) {
      const image = await openImage(cx, index.source, index.descriptor, parsePlatform(platform))
      expect(image.descriptor.digest).toBe(index.images[position]!.descriptor.digest)
    }
  })

  test('an index of one needs no platform, attestations do not count', async () => {
    const sample = await sampleImage(cx)
    const index = makeIndex([sample, { ...(await sampleImage(cx, { seed: 'b' })), platform: { os: 'unknown', architecture: 'unknown' } }])
    expect((await openImage(cx, index.source, index.descriptor)).descriptor.digest).toBe(sample.descriptor.digest)
  })

  test('an entry without a platform is found by its config', async () => {
    const [amd64, arm64] = (await sampleIndex(cx)).images
    const bare = [amd64!, arm64!].map(({ descriptor: { mediaType, digest, size }, source, manifest }) => ({
      descriptor: { mediaType, digest, size },
      source,
      manifest,
    }))
    const index = makeIndex(bare)
    const image = await openImage(cx, index.source, index.descriptor, parsePlatform('linux/arm64'))
    expect(image.descriptor.digest).toBe(arm64!.descriptor.digest)
  })

  test('an index in an index', async () => {
    const inner = await sampleIndex(cx)
    const outer = makeIndex([inner])
    const image = await openImage(cx, outer.source, outer.descriptor, parsePlatform('linux/arm64'))
    expect(image.descriptor.digest).toBe(inner.images[1]!.descriptor.digest)
  })

  test.each([
    ['linux/s390x', /cannot find linux\/s390x in .*: it has linux\/amd64, linux\/arm64$/, /--platform/],
    [undefined, /no platform is given/, /linux\/amd64, linux\/arm64/],
  ])('what is there is listed, for %s', async (platform, message, hint) => {
    const index = await sampleIndex(cx)
    await expect(
      openImage(cx, index.source, index.descriptor, platform === undefined ? undefined : parsePlatform(platform)),
    ).rejects.toMatchObject({
      code: 'platform-mismatch',
      message: expect.stringMatching(message) as string,
      hint: expect.stringMatching(hint) as string,
    })
  })

  test('a single manifest must be for the platform, too', async () => {
    const sample = await sampleImage(cx)
    await expect(openImage(cx, sample.source, sample.descriptor, parsePlatform('linux/arm64'))).rejects.toMatchObject({
      code: 'platform-mismatch',
    })
  })

  test('indexes nested too deep', async () => {
    let index = makeIndex([await sampleImage(cx)])
    for (let depth = 0; depth < 5; depth++) index = makeIndex([index])
    await expect(openImage(cx, index.source, index.descriptor)).rejects.toMatchObject({ code: 'invalid-document' })
  })

  test('an artifact is no image', async () => {
    const place = memory()
    const config = place.put(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')
    const root = place.put(
      Buffer.from(JSON.stringify({ schemaVersion: 2, artifactType: 'application/x', config, layers: [] })),
      'application/vnd.oci.image.manifest.v1+json',
    )
    const image = await openImage(cx, place, root)
    await expect(image.config(cx)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('application/x') as string,
    })
  })
})

describe('readManifest', () => {
  test('other bytes than the digest says', async () => {
    const sample = await sampleImage(cx)
    const place = memory()
    const root = place.put(Buffer.from(sample.raw), sample.descriptor.mediaType)
    ;(place.blobs as Map<Digest, Uint8Array>).set(root.digest, Buffer.from(sample.raw).fill(0x20, 1, 2))
    await expect(readManifest(cx, place, root)).rejects.toMatchObject({ code: 'digest-mismatch' })
    await expect(readManifest(cx, place, { ...root, size: root.size - 1 })).rejects.toMatchObject({ code: 'size-mismatch' })
    await expect(readManifest(cx, place, { ...root, size: 5_000_000 })).rejects.toMatchObject({ code: 'too-large' })
  })

  test('a descriptor of a general type gets the exact one', async () => {
    const sample = await sampleImage(cx)
    const document = await readManifest(cx, sample.source, { ...sample.descriptor, mediaType: 'application/json' })
    expect(document.descriptor.mediaType).toBe(sample.descriptor.mediaType)
  })
})
