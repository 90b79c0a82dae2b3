import { describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { convert } from './convert.ts'
import { copy } from './copy.ts'
import { edit, makeIndex } from './edit.ts'
import { openImage, view, type Image } from './image.ts'
import { memory } from './memory.ts'
import { sampleImage, sampleIndex, sampleLayer } from './testing.ts'
import { validate } from './validate.ts'

const cx = background
const json = (bytes: Uint8Array): Record<string, unknown> => JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>

/** An image whose config and manifest have things that Stave does not know. */
async function strangeImage(): Promise<Image> {
  const place = memory('strange')
  const { layer } = await sampleLayer(place, { a: 'a' })
  const config = place.put(
    Buffer.from(
      `{"docker_version":"1","nanos":1712345678901234567,"architecture":"amd64","os":"linux","config":{"Hostname":"h","Env":["A=1"],"Labels":{"z":"1"},"Cmd":["x"]},` +
        `"rootfs":{"type":"layers","diff_ids":["${layer.diffId}"]}}`,
    ),
    mediaTypes.ociConfig,
  )
  const root = place.put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        'x-unknown': { a: 1 },
        config,
        layers: [{ ...layer.descriptor, 'x-layer': true }],
        annotations: { old: '1', gone: '1' },
      }),
    ),
    mediaTypes.ociManifest,
  )
  return openImage(cx, place, root)
}

describe('edit', () => {
  test('layers, history, config, labels and annotations', async () => {
    const base = await sampleImage(cx)
    const place = memory('new layers')
    const image = await edit(cx, base, {
      created: '2025-01-01T00:00:00Z',
      add: [await sampleLayer(place, { 'app/x': 'x' }), { history: { created_by: 'CMD run' } }],
      config: { Cmd: ['run'], ExposedPorts: undefined, User: 'me', Volumes: { '/b': {}, '/a': {} } },
      labels: { b: '2', a: '1', seed: undefined },
      annotations: { note: 'x' },
    })
    expect(await validate(cx, image)).toEqual([])
    const config = await image.config(cx)
    expect(config).toMatchObject({
      created: '2025-01-01T00:00:00Z',
      config: { Cmd: ['run'], Env: ['PATH=/bin'], User: 'me', Labels: { a: '1', b: '2' } },
    })
    expect(config.config).not.toHaveProperty('ExposedPorts')
    expect(Object.keys(config.config!.Volumes!)).toEqual(['/a', '/b'])
    expect(Object.keys(config.config!.Labels!)).toEqual(['a', 'b'])
    expect(config.history?.map((line) => line.empty_layer ?? false)).toEqual([false, true, false, false, false, true])
    expect(image.manifest.annotations).toEqual(Object.assign(Object.create(null), { note: 'x' }))
    expect(image.manifest.layers).toHaveLength(4)
    // The base is as it was.
    expect(base.manifest.layers).toHaveLength(3)
    expect(await validate(cx, base)).toEqual([])
  })

  test('unknown fields are kept, big numbers too', async () => {
    const image = await edit(cx, await strangeImage(), { labels: { a: 'b' }, annotations: { new: '1', gone: undefined } })
    expect(Buffer.from(await image.rawConfig(cx)).toString()).toContain('"nanos":1712345678901234567,')
    expect(json(await image.rawConfig(cx))).toMatchObject({ docker_version: '1', config: { Hostname: 'h', Labels: { a: 'b', z: '1' } } })
    expect(json(image.raw)).toMatchObject({ 'x-unknown': { a: 1 }, layers: [{ 'x-layer': true }], annotations: { old: '1', new: '1' } })
    expect(json(image.raw)['annotations']).not.toHaveProperty('gone')
    expect(await validate(cx, image)).toEqual([])
  })

  test('a fresh manifest has nothing of the old one', async () => {
    const image = await edit(cx, await strangeImage(), { freshManifest: true })
    expect(json(image.raw)).not.toHaveProperty('x-unknown')
    expect(json(image.raw)).not.toHaveProperty('annotations')
    expect(image.manifest.layers).toHaveLength(1)
  })

  test('history is filled up where the base has none', async () => {
    const image = await edit(cx, await strangeImage(), { add: [await sampleLayer(memory(), { b: 'b' })] })
    expect((await image.config(cx)).history).toMatchObject([{ comment: 'missing in the base image' }, { created_by: 'ADD b' }])
    expect(await validate(cx, image)).toEqual([])
  })

  test('all layers replaced by one', async () => {
    const image = await edit(cx, await sampleImage(cx), { replaceLayers: true, add: [await sampleLayer(memory(), { all: 'in one' })] })
    expect(image.manifest.layers).toHaveLength(1)
    expect((await image.config(cx)).history).toHaveLength(1)
    expect((await image.config(cx)).config?.Env).toEqual(['PATH=/bin'])
    expect(await validate(cx, image)).toEqual([])
  })

  test('from nothing', async () => {
    const image = await edit(cx, undefined, { platform: { os: 'linux', architecture: 'arm' } })
    expect(await image.config(cx)).toMatchObject({ os: 'linux', architecture: 'arm', variant: 'v7', rootfs: { diff_ids: [] } })
    expect(image.descriptor.platform).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' })
    await expect(edit(cx, undefined, {})).rejects.toMatchObject({ code: 'usage' })
  })

  test('the same input gives the same bytes', async () => {
    const change = { labels: { b: '1', a: '2' }, config: { Volumes: { '/x': {}, '/a': {} } } }
    const other = { config: { Volumes: { '/a': {}, '/x': {} } }, labels: { a: '2', b: '1' } }
    const [one, two] = [await edit(cx, await sampleImage(cx), change), await edit(cx, await sampleImage(cx), other)]
    expect(one.descriptor.digest).toBe(two.descriptor.digest)
  })

  test('Docker’s format', async () => {
    const image = await edit(cx, await sampleImage(cx), { format: 'docker', add: [await sampleLayer(memory(), { a: 'a' }, 'gzip', 'oci')] })
    expect(image.descriptor.mediaType).toBe(mediaTypes.dockerManifest)
    expect(image.manifest.config.mediaType).toBe(mediaTypes.dockerConfig)
    expect(new Set(image.manifest.layers.map((layer) => layer.mediaType))).toEqual(new Set([mediaTypes.dockerLayerGzip]))
    expect(await validate(cx, image)).toEqual([])
    // It stays Docker's unless told otherwise.
    expect((await edit(cx, image, {})).descriptor.mediaType).toBe(mediaTypes.dockerManifest)
    expect((await edit(cx, image, { format: 'oci' })).manifest.layers[0]!.mediaType).toBe(mediaTypes.ociLayerGzip)
    await expect(edit(cx, image, { annotations: { a: 'b' } })).rejects.toMatchObject({ code: 'unsupported' })
    await expect(edit(cx, image, { add: [await sampleLayer(memory(), { a: 'a' }, 'zstd')] })).rejects.toMatchObject({ code: 'unsupported' })
  })

  test('an edit of an edit can be copied', async () => {
    const first = await edit(cx, await sampleImage(cx), { add: [await sampleLayer(memory('one'), { one: '1' })] })
    const second = await edit(cx, first, { add: [await sampleLayer(memory('two'), { two: '2' }, 'zstd')] })
    const target = memory()
    await copy(cx, second.source, second.descriptor, target)
    expect(await validate(cx, await openImage(cx, target, second.descriptor))).toEqual([])
  })
})

describe('makeIndex', () => {
  test('its entries are all there', async () => {
    const index = await sampleIndex(cx)
    expect(index.index.manifests.map((entry) => entry.platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
      { os: 'unknown', architecture: 'unknown' },
    ])
    const target = memory()
    await copy(cx, index.source, index.descriptor, target)
    for (const { descriptor } of index.images) expect(await validate(cx, await openImage(cx, target, descriptor))).toEqual([])
  })

  test('annotations, type and subject', async () => {
    const image = await sampleImage(cx)
    const index = makeIndex([image], { annotations: { b: '1', a: '2' }, artifactType: 'application/x', subject: image.descriptor })
    expect(json(index.raw)).toMatchObject({
      artifactType: 'application/x',
      subject: { digest: image.descriptor.digest },
      annotations: { a: '2', b: '1' },
    })
    expect(() => makeIndex([image], { format: 'docker', annotations: { a: 'b' } })).toThrow(
      expect.objectContaining({ code: 'unsupported' }) as Error,
    )
  })

  test('of Docker’s images it is Docker’s', async () => {
    const image = await sampleImage(cx, { format: 'docker' })
    expect(makeIndex([image]).descriptor.mediaType).toBe(mediaTypes.dockerIndex)
    expect(makeIndex([image, await sampleImage(cx)]).descriptor.mediaType).toBe(mediaTypes.ociIndex)
  })
})

describe('convert', () => {
  test('an index to Docker’s types and back', async () => {
    const index = await sampleIndex(cx)
    const docker = await convert(cx, index.source, index.descriptor, 'docker')
    expect(docker.descriptor.mediaType).toBe(mediaTypes.dockerIndex)
    const target = memory()
    await copy(cx, docker.source, docker.descriptor, target)
    const image = await openImage(cx, target, docker.descriptor, { os: 'linux', architecture: 'arm64' })
    expect(await validate(cx, image)).toEqual([])
    expect(image.descriptor.mediaType).toBe(mediaTypes.dockerManifest)
    // The config, and so the image's id, is the same.
    expect(image.manifest.config.digest).toBe(index.images[1]!.manifest.config.digest)
    const { manifests } = json(target.blobs.get(docker.descriptor.digest)!) as {
      manifests: { digest: string; annotations?: Record<string, string> }[]
    }
    expect(manifests[2]!.annotations?.['vnd.docker.reference.digest']).toBe(manifests[0]!.digest)

    const back = await convert(cx, target, docker.descriptor, 'oci')
    expect(back.descriptor.digest).toBe(index.descriptor.digest)
  })

  test('what has the format already is left alone', async () => {
    const image = await sampleImage(cx)
    expect((await convert(cx, image.source, image.descriptor, 'oci')).descriptor).toEqual(image.descriptor)
  })

  test('zstd has no name in Docker’s format', async () => {
    const image = await sampleImage(cx, { compression: 'zstd' })
    await expect(convert(cx, image.source, image.descriptor, 'docker')).rejects.toMatchObject({
      code: 'unsupported',
      hint: expect.stringContaining('gzip') as string,
    })
  })
})

describe('validate', () => {
  test.each(['none', 'gzip', 'zstd'] as const)('a sound image, %s', async (compression) => {
    expect(await validate(cx, await sampleImage(cx, { compression }))).toEqual([])
  })

  test('everything that can be wrong is found', async () => {
    const image = await sampleImage(cx)
    const place = memory()
    await copy(cx, image.source, image.descriptor, place)
    const blobs = place.blobs as Map<Digest, Uint8Array>
    const layer = image.manifest.layers[1]!

    const cases: readonly (readonly [subject: string, Image | Promise<Image>])[] = [
      ['manifest', view(place, { ...image.descriptor, size: 1 }, image.manifest, image.raw)],
      ['manifest', view(place, { ...image.descriptor, digest: digestOf('x') }, image.manifest, image.raw)],
      ['manifest', view(place, image.descriptor, { ...image.manifest, annotations: { a: 'b' } }, image.raw)],
      ['platform', view(place, { ...image.descriptor, platform: { os: 'linux', architecture: 's390x' } }, image.manifest, image.raw)],
      ['config', edit(cx, image, { extra: { rootfs: { type: 'layers', diff_ids: [] } } })],
      ['history', edit(cx, image, { extra: { history: [] } })],
      ['layer 1', edit(cx, image, { extra: { rootfs: { type: 'layers', diff_ids: [digestOf('x'), digestOf('y'), digestOf('z')] } } })],
    ]
    for (const [subject, broken] of cases) expect((await validate(cx, await broken)).map((problem) => problem.subject)).toContain(subject)

    const whole = blobs.get(layer.digest)!
    for (const damaged of [
      undefined,
      whole.subarray(0, 50),
      Buffer.concat([whole, Buffer.alloc(512)]),
      Buffer.from(whole).fill(0, 40, 60),
    ]) {
      if (damaged === undefined) blobs.delete(layer.digest)
      else blobs.set(layer.digest, damaged)
      expect((await validate(cx, await openImage(cx, place, image.descriptor))).map((problem) => problem.subject)).toEqual(['layer 2'])
    }
  })
})
