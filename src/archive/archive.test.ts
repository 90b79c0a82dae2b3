import { spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import { copy } from '#image/copy.ts'
import { openImage, type Image } from '#image/image.ts'
import { memory } from '#image/memory.ts'
import { putReferrer, sampleImage, sampleIndex, tarOf } from '#image/testing.ts'
import { validate } from '#image/validate.ts'
import { leavesFirst, walk } from '#image/walk.ts'
import * as limit from '#limit.ts'
import { isManifestOrIndex, mediaTypes } from '#oci/media-type.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import { createDockerArchive, createOciArchive } from './create.ts'
import { openArchive, openDockerArchive, openOciArchive } from './open.ts'

const cx = background
let root: string
let count = 0
const fresh = (): string => join(root, String(count++))

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'stave-archive-'))
})
afterAll(async () => {
  await rm(root, { recursive: true, force: true })
})

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const run = (program: string, ...args: string[]): string => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
  return stdout
}
const sound = async (source: Source, name: string): Promise<Image> => {
  const image = await openImage(cx, source, await source.resolve(cx, name), { os: 'linux', architecture: 'amd64' })
  expect(await validate(cx, image)).toEqual([])
  return image
}

describe.each([
  ['oci-archive', createOciArchive, openOciArchive],
  ['docker-archive', createDockerArchive, openDockerArchive],
] as const)('%s', (kind, create, open) => {
  test('several images under several names, at a path', async () => {
    const path = fresh()
    const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleImage(cx, { seed: 'two', compression: 'zstd' })]
    {
      await using archive = await create(path)
      await copy(cx, one.source, one.descriptor, archive, { name: 'docker.io/library/one:1' })
      await copy(cx, one.source, one.descriptor, archive, { name: 'docker.io/library/one:latest' })
      await copy(cx, two.source, two.descriptor, archive, { name: 'localhost/two:2' })
      expect((await sound(archive, 'one:1')).descriptor.digest).toBe(one.descriptor.digest)
      expect(await readdir(root)).not.toContain(path.slice(root.length + 1))
      await archive.finish(cx)
    }
    await using archive = await open(cx, path)
    expect(await archive.list(cx)).toMatchObject([
      { descriptor: { digest: one.descriptor.digest }, names: ['docker.io/library/one:1', 'docker.io/library/one:latest'] },
      { descriptor: { digest: two.descriptor.digest }, names: ['localhost/two:2'] },
    ])
    for (const name of ['one', 'one:1', 'docker.io/library/one:latest', 'localhost/two:2', '@1', two.descriptor.digest])
      await sound(archive, name)
    await expect(archive.resolve(cx, 'three')).rejects.toMatchObject({ code: 'not-found' })
    // The same image again has the same bytes as any tar program reads them.
    expect(digestOf(spawnSync('tar', ['-xOf', path, `blobs/sha256/${digestHex(one.descriptor.digest)}`]).stdout)).toBe(
      one.descriptor.digest,
    )
    expect(spawnSync('tar', ['-tf', path], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
  })

  test('an index, whole', async () => {
    const path = fresh()
    const index = await sampleIndex(cx)
    {
      await using archive = await create(path)
      await copy(cx, index.source, index.descriptor, archive, { name: 'ghcr.io/acme/web:1' })
    }
    await using archive = await openArchive(cx, path)
    expect((await archive.resolve(cx, '')).digest).toBe(index.descriptor.digest)
    const target = memory()
    await copy(cx, archive, await archive.resolve(cx, 'ghcr.io/acme/web:1'), target, { name: 'x' })
    expect((await sound(target, 'x')).descriptor.digest).toBe(index.images[0]!.descriptor.digest)
  })

  test.each(['xz', 'bzip2'])('compressed with %s', async (program) => {
    if (!has(program)) throw new Error(`${program} is not installed`)
    const path = fresh()
    const image = await sampleImage(cx, { seed: program })
    {
      await using archive = await create(path)
      await copy(cx, image.source, image.descriptor, archive, { name: 'localhost/web:1' })
    }
    run(program, '-k', path)
    const compressed = `${path}.${program === 'xz' ? 'xz' : 'bz2'}`
    const options = { temporary: root }
    {
      await using archive = await open(cx, compressed, options)
      expect((await sound(archive, 'localhost/web:1')).descriptor.digest).toBe(image.descriptor.digest)
    }
    await expect(open(cx, compressed, { ...options, maxTemporaryBytes: 600 })).rejects.toMatchObject({ code: 'too-large' })
    const bytes = await readFile(compressed)
    await writeFile(compressed, bytes.subarray(0, bytes.length - 20))
    await expect(open(cx, compressed, options)).rejects.toMatchObject({ code: 'invalid-document' })
    await expect(open(cx, `${path}.none`, options)).rejects.toMatchObject({ code: 'not-found' })
  })

  test('to a stream and from a stream, compressed or not', async () => {
    const path = fresh()
    const index = await sampleIndex(cx)
    const file = createWriteStream(path)
    {
      await using archive = await create(file)
      await copy(cx, index.source, index.descriptor, archive, { name: 'a/b:c', concurrency: 8 })
    }
    await new Promise((resolve) => file.end(resolve))
    const bytes = await readFile(path)
    for (const [form, content] of [
      ['plain', bytes],
      ['gzip', gzipSync(bytes)],
      ['zstd', zstdCompressSync(bytes)],
    ] as const) {
      const other = `${path}.${form}`
      await writeFile(other, content)
      for (const input of [other, createReadStream(other, { highWaterMark: 3 })]) {
        await using archive = await open(cx, input, { temporary: root })
        await sound(archive, 'a/b:c')
      }
    }
    // Of what was spooled, nothing is left.
    expect((await readdir(root)).filter((name) => name.startsWith('archive'))).toEqual([])
  })

  test('a slow reader holds the writer back', async () => {
    const stream = new PassThrough({ highWaterMark: 1024 })
    const content = Buffer.alloc(4 * 1024 * 1024, 'x')
    let ahead = 0
    let read = 0
    const bytes = async function* (): AsyncGenerator<Uint8Array> {
      for (let position = 0; position < content.length; position += 65_536) {
        ahead = Math.max(ahead, position - read)
        yield content.subarray(position, position + 65_536)
      }
    }
    const reading = (async () => {
      for await (const chunk of stream) {
        await sleep(1)
        read += (chunk as Uint8Array).length
      }
    })()
    {
      await using archive = await create(stream)
      await archive.write(cx, { mediaType: 'text/plain', digest: digestOf(content), size: content.length }, bytes())
    }
    stream.end()
    await reading
    expect(ahead).toBeLessThan(4 * 65_536)
  })

  test('what fails leaves nothing, and keeps what was there', async () => {
    const image = await sampleImage(cx)
    const lies: Source = {
      ...image.source,
      origin: undefined as never,
      async open(inner, what) {
        if (isManifestOrIndex(what.mediaType)) return image.source.open(inner, what)
        return (async function* () {
          yield Buffer.alloc(what.size)
        })()
      },
    }
    const path = fresh()
    await writeFile(path, 'the old one')
    const before = await readdir(root)
    for (const attempt of ['lies', 'nothing named', 'thrown away in the middle']) {
      await using archive = await create(path)
      if (attempt === 'lies') {
        await copy(cx, image.source, image.descriptor, archive, { name: 'good:1' })
        const other = await sampleImage(cx, { seed: 'other' })
        await expect(
          copy(
            cx,
            {
              ...lies,
              resolve: other.source.resolve,
              open: async (inner, what) => (isManifestOrIndex(what.mediaType) ? other.source.open(inner, what) : lies.open(inner, what)),
            },
            other.descriptor,
            archive,
            { name: 'bad:1' },
          ),
        ).rejects.toMatchObject({
          code: 'digest-mismatch',
        })
        await expect(archive.finish(cx)).rejects.toMatchObject({ code: 'io' })
      } else if (attempt === 'nothing named') await copy(cx, image.source, image.descriptor, archive)
    }
    expect(await readFile(path, 'utf8')).toBe('the old one')
    expect(await readdir(root)).toEqual(before)
  })

  test('what was never named is there without a name', async () => {
    const path = fresh()
    const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleIndex(cx, { seed: 'two' })]
    const archive = await create(path)
    await copy(cx, one.source, one.descriptor, archive, { name: 'docker.io/library/one:1' })
    await copy(cx, two.source, two.descriptor, archive)
    await archive.finish(cx)
    await expect(archive.name(cx, two.descriptor, 'late:1')).rejects.toMatchObject({ code: 'io' })
    await archive[Symbol.asyncDispose]()
    await using again = await open(cx, path)
    expect(await again.list(cx)).toMatchObject([
      { descriptor: { digest: one.descriptor.digest }, names: ['docker.io/library/one:1'] },
      { descriptor: { digest: two.descriptor.digest }, names: [] },
    ])
    await sound(again, two.descriptor.digest)
  })

  test('its methods need no this', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    const archive = await create(path)
    await copy(cx, image.source, image.descriptor, { ...archive }, { name: 'x:1' })
    await archive.finish(cx)
    await using again = await open(cx, path)
    await sound({ ...again }, 'x:1')
  })

  test('a blob that failed can be written again', async () => {
    const image = await sampleImage(cx)
    const path = fresh()
    await using archive = await create(path)
    const layer = image.manifest.layers[0]!
    await expect(
      archive.write(
        cx,
        layer,
        (async function* () {
          yield Buffer.alloc(10)
          throw new StaveError('network', 'cut')
        })(),
      ),
    ).rejects.toMatchObject({ code: 'network' })
    await copy(cx, image.source, image.descriptor, archive, { name: 'x:1' })
    await archive.finish(cx)
    await using again = await open(cx, path)
    await sound(again, 'x:1')
  })

  test('a stream that breaks is an error, not a crash', async () => {
    const stream = new PassThrough({ highWaterMark: 16 })
    const image = await sampleImage(cx)
    const archive = await create(stream)
    setTimeout(() => stream.destroy(new Error('EPIPE: the reader is gone')), 20)
    await expect(copy(cx, image.source, image.descriptor, archive, { name: 'x:1' })).rejects.toThrow(/gone|closed|destroyed/)
    await archive[Symbol.asyncDispose]()
  })

  test('a place that cannot be written', async () => {
    await expect(create(join(fresh(), 'no', 'such'))).rejects.toMatchObject({ code: 'not-found' })
  })

  test(`${kind} with referrers`, async () => {
    const place = memory()
    const image = await sampleImage(cx)
    await copy(cx, image.source, image.descriptor, place)
    const signature = putReferrer(place, image.descriptor, 'application/x-signature')
    const path = fresh()
    {
      await using archive = await create(path)
      await copy(cx, place, image.descriptor, archive, { name: 'x:1', referrers: true })
    }
    await using archive = await open(cx, path)
    expect(await archive.referrers!(cx, image.descriptor.digest)).toMatchObject([{ digest: signature.digest }])
  })
})

describe('Docker’s documents', () => {
  test('manifest.json and repositories', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    {
      await using archive = await createDockerArchive(path)
      for (const name of ['docker.io/library/a:1', 'ghcr.io/b/c:2', `docker.io/library/a@${image.descriptor.digest}`])
        await copy(cx, image.source, image.descriptor, archive, { name })
    }
    const read = (name: string): unknown => JSON.parse(run('tar', '-xOf', path, name))
    const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`
    expect(read('manifest.json')).toEqual([
      {
        Config: blob(image.manifest.config.digest),
        RepoTags: ['a:1', 'ghcr.io/b/c:2'],
        Layers: image.manifest.layers.map((layer) => blob(layer.digest)),
      },
    ])
    const top = image.manifest.layers.at(-1)!.digest.slice(7)
    expect(read('repositories')).toEqual({ a: { 1: top }, 'ghcr.io/b/c': { 2: top } })
  })

  test('of an index, the image of the platform', async () => {
    const index = await sampleIndex(cx)
    for (const [position, architecture] of ['amd64', 'arm64'].entries()) {
      const path = fresh()
      {
        await using archive = await createDockerArchive(path, { platform: { os: 'linux', architecture } })
        await copy(cx, index.source, index.descriptor, archive, { name: 'x:1' })
      }
      expect(run('tar', '-xOf', path, 'manifest.json')).toContain(index.images[position]!.manifest.config.digest.slice(7))
    }
    await using archive = await createDockerArchive(fresh(), { platform: { os: 'linux', architecture: 's390x' } })
    await expect(copy(cx, index.source, index.descriptor, archive, { name: 'x:1' })).rejects.toMatchObject({ code: 'platform-mismatch' })
  })

  test('an artifact has none', async () => {
    const place = memory()
    const subject = await sampleImage(cx)
    const artifact = putReferrer(place, subject.descriptor, 'application/x')
    await using archive = await createDockerArchive(fresh())
    await expect(copy(cx, place, artifact, archive, { name: 'x:1' })).rejects.toMatchObject({ code: 'unsupported' })
  })
})

describe('archives of others', () => {
  /** As Docker wrote them from 1.10 to 24: a directory for each layer, links for layers that are there already. */
  const oldArchive = async (linkLayers: boolean): Promise<{ path: string; image: Image }> => {
    const image = await sampleImage(cx, { compression: 'none' })
    const directory = fresh()
    const config = `${digestHex(image.manifest.config.digest)}.json`
    await mkdir(directory)
    await writeFile(join(directory, config), await image.rawConfig(cx))
    const layers: string[] = []
    for (const [position, layer] of image.manifest.layers.entries()) {
      const name = `${String(position).repeat(64)}/layer.tar`
      await mkdir(join(directory, name, '..'))
      await writeFile(join(directory, name), Buffer.concat(await Array.fromAsync(await image.source.open(cx, layer))))
      layers.push(name)
    }
    if (linkLayers) {
      await mkdir(join(directory, 'linked'))
      await symlink(`../${layers[2]!}`, join(directory, 'linked', 'layer.tar'))
      layers[2] = 'linked/layer.tar'
    }
    await writeFile(join(directory, 'manifest.json'), JSON.stringify([{ Config: config, RepoTags: ['old:1', 'old:2'], Layers: layers }]))
    const path = fresh()
    run('tar', '-cf', path, '-C', directory, '.')
    return { path, image }
  }

  test.each([false, true])('docker save of old, links: %s', async (linkLayers) => {
    const { path, image } = await oldArchive(linkLayers)
    await using archive = await openArchive(cx, path)
    const loaded = await sound(archive, 'old:2')
    expect(loaded.manifest.config.digest).toBe(image.manifest.config.digest)
    expect(await archive.list(cx)).toMatchObject([{ names: ['old:1', 'old:2'] }])
  })

  test('hard links, GNU and pax names', async () => {
    const { path } = await oldArchive(false)
    const directory = fresh()
    await mkdir(directory)
    run('tar', '-xf', path, '-C', directory)
    const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/`
    await mkdir(join(directory, long), { recursive: true })
    const manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as { Layers: string[] }[]
    run('ln', join(directory, manifest[0]!.Layers[0]!), join(directory, long, 'layer.tar'))
    manifest[0]!.Layers[0] = `${long}layer.tar`
    await writeFile(join(directory, 'manifest.json'), JSON.stringify(manifest))
    for (const format of ['gnu', 'pax', 'posix']) {
      const other = fresh()
      run('tar', `--format=${format}`, '-cf', other, '-C', directory, '.')
      await using archive = await openDockerArchive(cx, other)
      await sound(archive, 'old:1')
    }
  })

  test('layers that are compressed without saying so', async () => {
    const image = await sampleImage(cx, { compression: 'gzip' })
    const files: Record<string, Uint8Array> = { 'config.json': await image.rawConfig(cx) }
    const layers: string[] = []
    for (const [position, layer] of image.manifest.layers.entries()) {
      layers.push(`${position}.tar`)
      files[`${position}.tar`] = Buffer.concat(await Array.fromAsync(await image.source.open(cx, layer)))
    }
    files['manifest.json'] = Buffer.from(JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: layers }]))
    const path = fresh()
    await writeFile(path, await tarOf(files))
    await using archive = await openDockerArchive(cx, path)
    const loaded = await sound(archive, '')
    expect(loaded.manifest.layers.map((layer) => layer.digest)).toEqual(image.manifest.layers.map((layer) => layer.digest))
    expect(await archive.list(cx)).toMatchObject([{ names: [] }])
  })

  test('index.json as the last entry', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    {
      await using archive = await createOciArchive(path)
      await copy(cx, image.source, image.descriptor, archive, { name: 'x:1' })
    }
    const names = run('tar', '-tf', path).trim().split('\n')
    expect(names.slice(-2)).toEqual(['index.json', 'oci-layout'])
  })
})

describe('bad archives', () => {
  const rejected = async (bytes: Uint8Array, code: string): Promise<void> => {
    const path = fresh()
    await writeFile(path, bytes)
    await expect(openArchive(cx, path, { temporary: root })).rejects.toMatchObject({ code })
  }

  test.each([['../escape'], ['/etc/passwd'], ['a/../../b'], ['blobs/../../x']])('the name %s', async (name) => {
    await rejected(await tarOf({ 'index.json': '{"schemaVersion":2,"manifests":[]}', [name]: 'x' }), 'escape')
  })

  test('links that lead out of it', async () => {
    const { pack } = await import('tar-stream')
    for (const type of ['symlink', 'link'] as const) {
      for (const linkname of ['/etc/passwd', '../../etc/passwd']) {
        const tar = pack()
        tar.entry({ name: 'manifest.json', type, linkname })
        tar.finalize()
        await rejected(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>)), 'escape')
      }
    }
  })

  test('links in a circle', async () => {
    const { pack } = await import('tar-stream')
    const tar = pack()
    tar.entry({ name: 'manifest.json', type: 'symlink', linkname: 'b' })
    tar.entry({ name: 'b', type: 'symlink', linkname: 'manifest.json' })
    tar.finalize()
    await rejected(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>)), 'invalid-document')
  })

  test('what is cut, damaged or something else', async () => {
    const whole = await tarOf({ 'index.json': '{"schemaVersion":2,"manifests":[]}', big: Buffer.alloc(5000) })
    await rejected(whole.subarray(0, 3000), 'invalid-document')
    await rejected(whole.subarray(0, 700), 'invalid-document')
    await rejected(Buffer.from(whole).fill(0x39, 0, 5), 'invalid-document')
    await rejected(Buffer.alloc(4096, 'x'), 'invalid-document')
    await rejected(Buffer.alloc(0), 'invalid-document')
    await rejected(gzipSync(whole).subarray(0, 60), 'invalid-document')
    await rejected(await tarOf({ a: 'b' }), 'invalid-document')
    await rejected(await tarOf({ repositories: '{}' }), 'invalid-document')
    await rejected(Buffer.from('fd377a585a000000', 'hex'), 'invalid-document')
    await rejected(await tarOf({ 'manifest.json': '[{"Config":"nowhere","Layers":[]}]' }), 'invalid-document')
    await rejected(await tarOf({ 'manifest.json': '{}' }), 'invalid-document')
    await rejected(await tarOf({ 'manifest.json': Buffer.alloc(17 * 1024 * 1024, ' ') }), 'too-large')
    await expect(openArchive(cx, root)).rejects.toMatchObject({ code: 'invalid-document' })
    await expect(openArchive(cx, fresh())).rejects.toMatchObject({ code: 'not-found' })
    await expect(openDockerArchive(cx, fresh())).rejects.toMatchObject({ code: 'not-found' })
  })

  test('indexes of thousands of equal children, four levels deep, are each read once', async () => {
    const document = (children: readonly object[]) =>
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: children })
    const files: Record<string, string> = { 'manifest.json': '[]' }
    let below: object[] = []
    for (let level = 0; level < 5; level++) {
      const raw = document(below)
      const digest = digestOf(raw)
      if (level < 4) files[`blobs/sha256/${digest.slice(7)}`] = raw
      else files['index.json'] = raw
      below = Array.from({ length: 3000 }, () => ({ mediaType: mediaTypes.ociIndex, digest, size: raw.length }))
    }
    const path = fresh()
    await writeFile(path, await tarOf(files))
    const started = performance.now()
    await using archive = await openArchive(cx, path, { temporary: root })
    const [listed] = await archive.list(cx)
    const tree = await walk(cx, archive, listed!.descriptor)
    expect(leavesFirst(tree)).toHaveLength(4)
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  test('more manifests than any image has are too many', async () => {
    const files: Record<string, string> = { 'manifest.json': '[]' }
    const leaf = (at: number) => JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { at: String(at) } })
    const middle = (from: number) => {
      const children = Array.from({ length: 6700 }, (_, at) => {
        const raw = leaf(from + at)
        const digest = digestOf(raw)
        files[`blobs/sha256/${digest.slice(7)}`] = raw
        return { mediaType: mediaTypes.ociIndex, digest, size: raw.length }
      })
      return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: children })
    }
    const entries = [0, 6700, 13_400].map((from) => {
      const raw = middle(from)
      const digest = digestOf(raw)
      files[`blobs/sha256/${digest.slice(7)}`] = raw
      return { mediaType: mediaTypes.ociIndex, digest, size: raw.length }
    })
    expect(3 * 6700).toBeGreaterThan(limit.manifests)
    files['index.json'] = JSON.stringify({ schemaVersion: 2, manifests: entries })
    await rejected(await tarOf(files), 'too-large')
  })

  test('more images than an archive may have are too many', async () => {
    const images = Array.from({ length: limit.archiveImages + 1 }, () => ({ Config: 'c', Layers: [], RepoTags: [] }))
    await rejected(await tarOf({ 'manifest.json': JSON.stringify(images) }), 'too-large')
  })

  test('a bomb', async () => {
    const path = fresh()
    await writeFile(path, gzipSync(Buffer.alloc(20 * 1024 * 1024)))
    await expect(openArchive(cx, path, { temporary: root, maxTemporaryBytes: 1024 * 1024 })).rejects.toMatchObject({ code: 'too-large' })
  })

  test('a blob whose bytes are others', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    {
      await using archive = await createOciArchive(path)
      await copy(cx, image.source, image.descriptor, archive, { name: 'x:1' })
    }
    const bytes = await readFile(path)
    const needle = Buffer.concat(await Array.fromAsync(await image.source.open(cx, image.manifest.layers[1]!)))
    bytes.fill(0, bytes.indexOf(needle) + 20, bytes.indexOf(needle) + 40)
    await writeFile(path, bytes)
    await using archive = await openArchive(cx, path)
    await expect(copy(cx, archive, await archive.resolve(cx, ''), memory(), { name: 'x' })).rejects.toMatchObject({
      code: 'digest-mismatch',
    })
  })
})

describe.skipIf(!has('skopeo'))('skopeo', () => {
  test.each(['gzip', 'zstd', 'none'] as const)('reads both kinds, layers: %s', async (compression) => {
    const image = await sampleImage(cx, { compression })
    const [oci, docker] = [fresh(), fresh()]
    for (const [path, create] of [
      [oci, createOciArchive],
      [docker, createDockerArchive],
    ] as const) {
      await using archive = await create(path)
      await copy(cx, image.source, image.descriptor, archive, { name: 'docker.io/library/x:1' })
    }
    expect(digestOf(run('skopeo', 'inspect', '--raw', `oci-archive:${oci}:1`))).toBe(image.descriptor.digest)
    for (const source of [`oci-archive:${oci}`, `docker-archive:${docker}:x:1`]) {
      const target = fresh()
      run('skopeo', 'copy', source, `oci:${target}:x`)
      expect(JSON.parse(run('skopeo', 'inspect', '--config', `oci:${target}:x`))).toMatchObject({
        config: { Cmd: ['/bin/sh'], Labels: { seed: 'seed' } },
      })
    }
  })

  test('writes both kinds', async () => {
    const image = await sampleImage(cx)
    const path = fresh()
    {
      await using archive = await createOciArchive(path)
      await copy(cx, image.source, image.descriptor, archive, { name: 'x:1' })
    }
    for (const kind of ['oci-archive', 'docker-archive']) {
      const other = fresh()
      run('skopeo', 'copy', `oci-archive:${path}:x:1`, `${kind}:${other}:docker.io/library/x:1`)
      await using archive = await openArchive(cx, other)
      const loaded = await sound(archive, 'x:1')
      expect((await loaded.layers(cx)).map((layer) => layer.diffId)).toEqual((await image.layers(cx)).map((layer) => layer.diffId))
    }
  })
})

// podman needs to be able to make its own storage, which not every sandbox allows.
const podmanRoot = join(tmpdir(), `stave-podman-${process.pid}`)
const podman = (...args: string[]): string =>
  run('podman', '--root', join(podmanRoot, 'root'), '--runroot', join(podmanRoot, 'run'), '--storage-driver', 'vfs', ...args)
const podmanWorks =
  has('podman') &&
  spawnSync('podman', ['--root', join(podmanRoot, 'root'), '--runroot', join(podmanRoot, 'run'), '--storage-driver', 'vfs', 'images'])
    .status === 0
if (!podmanWorks) console.log('skipped: podman is not there or cannot keep images here')

describe.skipIf(!podmanWorks)(
  'podman',
  () => {
    afterAll(async () => {
      await rm(podmanRoot, { recursive: true, force: true })
    })

    test('loads both kinds, saves both kinds', async () => {
      const image = await sampleImage(cx)
      for (const create of [createOciArchive, createDockerArchive]) {
        const path = fresh()
        {
          await using archive = await create(path)
          await copy(cx, image.source, image.descriptor, archive, { name: 'localhost/loaded:1' })
        }
        expect(podman('load', '-i', path)).toContain('localhost/loaded:1')
        expect(podman('image', 'inspect', 'localhost/loaded:1', '--format', '{{.Id}}').trim()).toBe(digestHex(image.manifest.config.digest))
        for (const format of ['oci-archive', 'docker-archive']) {
          const saved = fresh()
          podman('save', '--format', format, '-o', saved, 'localhost/loaded:1')
          await using archive = await openArchive(cx, saved)
          const loaded = await sound(archive, 'localhost/loaded:1')
          expect((await loaded.config(cx)).config?.Cmd).toEqual(['/bin/sh'])
        }
        podman('rmi', 'localhost/loaded:1')
      }
    })
  },
  60_000,
)
