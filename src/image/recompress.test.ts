import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { mediaTypes } from '#oci/media-type.ts'
import { copy } from './copy.ts'
import { edit } from './edit.ts'
import { openImage } from './image.ts'
import { memory } from './memory.ts'
import { recompress } from './recompress.ts'
import { recording, sampleImage, sampleIndex, sampleLayer } from './testing.ts'
import { validate } from './validate.ts'

const cx = recording()
let temporary: string
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'stave-recompress-'))
})
afterEach(() => rm(temporary, { recursive: true, force: true }))

describe('recompress', () => {
  test.each([
    ['gzip', 'zstd', mediaTypes.ociLayerZstd],
    ['zstd', 'gzip', mediaTypes.ociLayerGzip],
    ['none', 'gzip', mediaTypes.ociLayerGzip],
    ['gzip', 'none', mediaTypes.ociLayer],
  ] as const)('%s to %s: sound, and still the same image', async (before, compression, mediaType) => {
    const image = await sampleImage(cx, { compression: before })
    const target = memory()
    {
      await using made = await recompress(cx, image.source, image.descriptor, { compression, temporary })
      await copy(cx, made.source, made.descriptor, target)
      const other = await openImage(cx, target, made.descriptor)
      expect(new Set(other.manifest.layers.map((layer) => layer.mediaType))).toEqual(new Set([mediaType]))
      expect(other.manifest.config.digest).toBe(image.manifest.config.digest)
      expect(await validate(cx, other)).toEqual([])
    }
    expect(await readdir(temporary)).toEqual([])
  })

  test('an index leads to the new manifests, attestations too', async () => {
    const index = await sampleIndex(cx)
    await using made = await recompress(cx, index.source, index.descriptor, { compression: 'zstd', temporary })
    const target = memory()
    await copy(cx, made.source, made.descriptor, target)
    for (const architecture of ['amd64', 'arm64']) {
      const image = await openImage(cx, target, made.descriptor, { os: 'linux', architecture })
      expect(await validate(cx, image)).toEqual([])
      expect(image.manifest.layers[0]!.mediaType).toBe(mediaTypes.ociLayerZstd)
    }
    const { manifests } = JSON.parse(Buffer.from(target.blobs.get(made.descriptor.digest)!).toString()) as {
      manifests: { digest: string; annotations?: Record<string, string> }[]
    }
    expect(manifests[2]!.annotations?.['vnd.docker.reference.digest']).toBe(manifests[0]!.digest)
  })

  test('what is compressed so already is not touched, and with onlyPlain nothing that is compressed at all', async () => {
    const image = await sampleImage(cx)
    await using same = await recompress(cx, image.source, image.descriptor, { compression: 'gzip', temporary })
    expect(same.descriptor).toEqual(image.descriptor)
    await using plain = await recompress(cx, image.source, image.descriptor, { compression: 'zstd', onlyPlain: true, temporary })
    expect(plain.descriptor).toEqual(image.descriptor)
  })

  test('a level makes a difference', async () => {
    const image = await sampleImage(cx, { compression: 'none' })
    const sizes = await Promise.all(
      [1, 9].map(async (level) => {
        await using made = await recompress(cx, image.source, image.descriptor, { compression: 'gzip', level, temporary })
        const { manifest } = await openImage(cx, made.source, made.descriptor)
        return manifest.layers.map(({ digest }) => digest)
      }),
    )
    expect(sizes[0]).not.toEqual(sizes[1])
  })

  test('Docker’s format has no zstd', async () => {
    const image = await sampleImage(cx, { format: 'docker' })
    await expect(recompress(cx, image.source, image.descriptor, { compression: 'zstd', temporary })).rejects.toMatchObject({
      code: 'unsupported',
    })
    expect(await readdir(temporary)).toEqual([])
  })

  test('a layer that is no gzip, and a source that lies, fail and leave no file', async () => {
    const place = memory()
    const cut = place.put(gzipSync(Buffer.alloc(100_000, 'x')).subarray(0, 60), mediaTypes.ociLayerGzip)
    const { layer } = await sampleLayer(place, { a: 'b' })
    const broken = await edit(cx, undefined, {
      platform: { os: 'linux', architecture: 'amd64' },
      add: [{ layer: { descriptor: cut, diffId: cut.digest, source: place } }],
    })
    await expect(recompress(cx, broken.source, broken.descriptor, { compression: 'zstd', temporary })).rejects.toMatchObject({
      code: 'invalid-layer',
    })
    const image = await sampleImage(cx)
    const lying = {
      ...image.source,
      open: (...[inner, what, from]: Parameters<typeof image.source.open>) =>
        what.digest === image.manifest.layers[0]!.digest ? place.open(inner, layer.descriptor, from) : image.source.open(inner, what, from),
    }
    await expect(
      recompress(cx, { ...lying, origin: () => undefined }, image.descriptor, { compression: 'zstd', temporary }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/-mismatch$/) as string,
    })
    expect(await readdir(temporary)).toEqual([])
  })
})
