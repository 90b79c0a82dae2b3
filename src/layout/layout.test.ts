import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { copy } from '#image/copy.ts'
import { openImage } from '#image/image.ts'
import { memory } from '#image/memory.ts'
import { putReferrer, sampleImage, sampleIndex } from '#image/testing.ts'
import { validate } from '#image/validate.ts'
import { digestHex, digestOf, type Digest } from '#oci/digest.ts'
import { createDirectory, openDirectory } from './directory.ts'
import { openLayout } from './layout.ts'
import { withLock } from './lock.ts'

const cx = background
let root: string
let count = 0
const fresh = (): string => join(root, String(count++))

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'stave-layout-'))
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

describe('layouts', () => {
  test('several images under several names', async () => {
    const path = fresh()
    const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleImage(cx, { seed: 'two' })]
    {
      await using layout = await openLayout(path, { create: true })
      await copy(cx, one.source, one.descriptor, layout, { name: '1' })
      await copy(cx, two.source, two.descriptor, layout, { name: '2' })
      await copy(cx, two.source, two.descriptor, layout, { name: 'ghcr.io/acme/two:2' })
    }
    await using layout = await openLayout(path)
    expect(await layout.list(cx)).toMatchObject([
      { descriptor: { digest: one.descriptor.digest }, names: ['1'] },
      { descriptor: { digest: two.descriptor.digest }, names: ['2', 'ghcr.io/acme/two:2'] },
    ])
    for (const name of ['1', '2', 'ghcr.io/acme/two:2', '@0', one.descriptor.digest])
      expect(await validate(cx, await openImage(cx, layout, await layout.resolve(cx, name)))).toEqual([])
    await expect(layout.resolve(cx, '3')).rejects.toMatchObject({ code: 'not-found', hint: 'It has 1, 2.' })
    await expect(layout.resolve(cx, '')).rejects.toMatchObject({ code: 'not-found' })
    expect((await readdir(path)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })

  test('a name moves, other entries stay as they are written', async () => {
    const path = fresh()
    const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleImage(cx, { seed: 'two' })]
    const layout = await openLayout(path, { create: true })
    await copy(cx, one.source, one.descriptor, layout, { name: 'a' })
    await copy(cx, one.source, one.descriptor, layout, { name: 'b' })
    const index = JSON.parse(await readFile(join(path, 'index.json'), 'utf8')) as {
      manifests: { annotations: Record<string, string>; extra?: string }[]
      extra?: string
    }
    index.extra = 'of the index'
    index.manifests[1]!.extra = 'of the entry'
    await writeFile(join(path, 'index.json'), JSON.stringify(index))
    await copy(cx, two.source, two.descriptor, layout, { name: 'a' })
    expect((await layout.resolve(cx, 'a')).digest).toBe(two.descriptor.digest)
    expect((await layout.resolve(cx, 'b')).digest).toBe(one.descriptor.digest)
    expect(await readFile(join(path, 'index.json'), 'utf8')).toMatch(/"extra":"of the entry".*"extra":"of the index"/)
    // Without a name it is found by digest, once.
    await layout.name(cx, one.descriptor, '')
    await layout.name(cx, one.descriptor, '')
    expect(await layout.list(cx)).toHaveLength(2)
  })

  test('a manifest inside an index is found by its digest', async () => {
    const index = await sampleIndex(cx)
    const layout = await openLayout(fresh(), { create: true })
    await copy(cx, index.source, index.descriptor, layout, { name: 'x' })
    expect(await layout.resolve(cx, index.images[1]!.descriptor.digest)).toMatchObject({ size: index.images[1]!.descriptor.size })
    expect((await openImage(cx, layout, await layout.resolve(cx, 'x'), { os: 'linux', architecture: 'arm64' })).descriptor.digest).toBe(
      index.images[1]!.descriptor.digest,
    )
  })

  test('referrers are entries', async () => {
    const place = memory()
    const image = await sampleImage(cx)
    await copy(cx, image.source, image.descriptor, place)
    const signature = putReferrer(place, image.descriptor, 'application/x-signature')
    const layout = await openLayout(fresh(), { create: true })
    await copy(cx, place, image.descriptor, layout, { name: 'x', referrers: true })
    expect(await layout.referrers!(cx, image.descriptor.digest)).toMatchObject([
      { digest: signature.digest, artifactType: 'application/x-signature' },
    ])
    // And on to the next place.
    const other = await openLayout(fresh(), { create: true })
    await copy(cx, layout, image.descriptor, other, { referrers: true })
    expect(await other.referrers!(cx, image.descriptor.digest)).toHaveLength(1)
  })

  test('damaged, missing and cut blobs', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    const layout = await openLayout(path, { create: true })
    await copy(cx, image.source, image.descriptor, layout, { name: 'x' })
    const layer = image.manifest.layers[1]!
    const file = layout.file(layer)!
    const read = async (): Promise<unknown> => Array.fromAsync(await layout.open(cx, layer))
    expect(file).toBe(join(path, 'blobs', 'sha256', digestHex(layer.digest)))
    expect(Buffer.concat(await Array.fromAsync(await layout.open(cx, layer, layer.size - 4)))).toHaveLength(4)
    const bytes = await readFile(file)
    await writeFile(file, Buffer.from(bytes).fill(0, 10, 20))
    await expect(read()).rejects.toMatchObject({ code: 'digest-mismatch' })
    await writeFile(file, bytes.subarray(1))
    await expect(read()).rejects.toMatchObject({ code: 'size-mismatch' })
    expect(layout.file(layer)).toBeUndefined()
    await rm(file)
    await expect(read()).rejects.toMatchObject({ code: 'blob-unknown' })
    // A pipe in the place of a blob would block whoever opens it.
    run('mkfifo', file)
    await expect(read()).rejects.toMatchObject({ code: 'blob-unknown' })
  })

  test('a blob that is not what it says leaves nothing', async () => {
    const path = fresh()
    const layout = await openLayout(path, { create: true })
    const what = { mediaType: 'text/plain', digest: digestOf('right'), size: 5 }
    const of = async function* (text: string): AsyncGenerator<Uint8Array> {
      yield Buffer.from(text)
    }
    for (const [text, code] of [
      ['wrong', 'digest-mismatch'],
      ['righ', 'size-mismatch'],
      ['righttt', 'size-mismatch'],
    ] as const)
      await expect(layout.write(cx, what, of(text))).rejects.toMatchObject({ code })
    expect(await readdir(join(path, 'blobs', 'sha256'))).toEqual([])
    await expect(layout.name(cx, what, 'x')).rejects.toMatchObject({ code: 'blob-unknown' })
    await layout.write(cx, what, of('right'))
    expect(await readdir(join(path, 'blobs', 'sha256'))).toEqual([digestHex(what.digest)])
  })

  test('files are taken over from another layout, verified', async () => {
    const image = await sampleImage(cx)
    const [from, to] = [await openLayout(fresh(), { create: true }), await openLayout(fresh(), { create: true })]
    await copy(cx, image.source, image.descriptor, from, { name: 'x' })
    const layer = image.manifest.layers[0]!
    expect(await to.adopt!(cx, layer, from)).toBe(true)
    expect((await stat(to.file(layer)!)).ino).not.toBe((await stat(from.file(layer)!)).ino)
    expect(await to.adopt!(cx, layer, memory())).toBe(false)
    await writeFile(from.file(image.manifest.layers[1]!)!, Buffer.alloc(image.manifest.layers[1]!.size))
    await expect(copy(cx, from, image.descriptor, to, { name: 'x' })).rejects.toMatchObject({ code: 'digest-mismatch' })
    expect(await to.list(cx)).toEqual([])
  })

  test('many writers lose no entry', async () => {
    const path = fresh()
    const images = await Promise.all(Array.from({ length: 12 }, (_, position) => sampleImage(cx, { seed: `s${position}` })))
    await openLayout(path, { create: true })
    await Promise.all(
      images.map(async (image, position) => {
        const layout = await openLayout(path, { create: true })
        await copy(cx, image.source, image.descriptor, layout, { name: `n${position}` })
      }),
    )
    expect(await (await openLayout(path)).list(cx)).toHaveLength(12)
    expect((await readdir(path)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })

  test('what cannot be opened', async () => {
    const path = fresh()
    await expect(openLayout(path)).rejects.toMatchObject({ code: 'not-found' })
    await mkdir(path)
    await writeFile(join(path, 'precious'), '')
    await expect(openLayout(path, { create: true })).rejects.toMatchObject({ code: 'conflict' })
    expect(await readFile(join(path, 'precious'), 'utf8')).toBe('')
    for (const [text, code] of [
      ['{"imageLayoutVersion":"2.0.0"}', 'unsupported'],
      ['{}', 'unsupported'],
      ['[]', 'invalid-document'],
      ['x', 'invalid-document'],
    ]) {
      await writeFile(join(path, 'oci-layout'), text!)
      await expect(openLayout(path)).rejects.toMatchObject({ code })
    }
    await expect(openLayout(join(path, 'precious', 'below'), { create: true })).rejects.toMatchObject({ code: 'not-found' })
  })

  test('pipes, huge files and links to what is no document are refused at once, wherever they lie', async () => {
    const secret = join(root, 'secret')
    await writeFile(secret, 'TOP SECRET, and no JSON')
    const image = await sampleImage(cx)
    const replaced = async (file: string, how: 'pipe' | 'huge' | 'link') => {
      await rm(file)
      if (how === 'pipe') run('mkfifo', file)
      else if (how === 'link') await symlink(secret, file)
      else run('truncate', '--size', '20G', file)
    }
    const blob = (digest: Digest) => join('blobs', digest.replace(':', '/'))
    const layer = image.manifest.layers[0]!.digest
    for (const [file, expected] of [
      ['oci-layout', { pipe: 'invalid-document', huge: 'too-large', link: 'invalid-document' }],
      ['index.json', { pipe: 'invalid-document', huge: 'too-large', link: 'invalid-document' }],
      [blob(image.descriptor.digest), { pipe: 'blob-unknown', huge: 'size-mismatch', link: 'size-mismatch' }],
      [blob(layer), { pipe: 'blob-unknown', huge: 'size-mismatch', link: 'size-mismatch' }],
    ] as const) {
      for (const how of ['pipe', 'huge', 'link'] as const) {
        const path = fresh()
        const layout = await openLayout(path, { create: true })
        await copy(cx, image.source, image.descriptor, layout, { name: 'x' })
        await replaced(join(path, file), how)
        const read = async () => {
          const opened = await openLayout(path)
          await copy(cx, opened, await opened.resolve(cx, 'x'), memory())
        }
        const failure = await read().then(
          () => undefined,
          (error: unknown) => error as Error,
        )
        expect([file, how, failure]).toMatchObject([file, how, { code: expected[how] }])
        expect(String(failure)).not.toContain('SECRET')
      }
    }

    for (const [how, code] of [
      ['pipe', 'invalid-document'],
      ['huge', 'too-large'],
    ] as const) {
      const path = fresh()
      const directory = await createDirectory(path)
      await copy(cx, image.source, image.descriptor, directory, { name: '' })
      await replaced(join(path, 'manifest.json'), how)
      await expect((await openDirectory(path)).resolve(cx, '')).rejects.toMatchObject({ code })
      // As a target, what is in the way is replaced.
      await copy(cx, image.source, image.descriptor, await createDirectory(path), { name: '' })
      expect((await (await openDirectory(path)).resolve(cx, '')).digest).toBe(image.descriptor.digest)
    }
  })

  test('two entries of one name have to be told apart', async () => {
    const path = fresh()
    const layout = await openLayout(path, { create: true })
    for (const seed of ['a', 'b']) {
      const image = await sampleImage(cx, { seed })
      await copy(cx, image.source, image.descriptor, layout, { name: seed })
    }
    await writeFile(
      join(path, 'index.json'),
      (await readFile(join(path, 'index.json'), 'utf8')).replaceAll('ref.name":"b"', 'ref.name":"a"'),
    )
    await expect(layout.resolve(cx, 'a')).rejects.toMatchObject({ code: 'conflict' })
  })

  test('blobs may be links to a shared place', async () => {
    const image = await sampleImage(cx)
    const [one, two] = [fresh(), fresh()]
    const from = await openLayout(one, { create: true })
    await copy(cx, image.source, image.descriptor, from, { name: 'x' })
    await mkdir(two)
    for (const file of ['oci-layout', 'index.json', 'blobs']) await symlink(join(one, file), join(two, file))
    const layout = await openLayout(two)
    expect(await validate(cx, await openImage(cx, layout, await layout.resolve(cx, 'x')))).toEqual([])
  })

  test('an entry has the tag in ref.name, and the full name where containerd looks for it', async () => {
    const image = await sampleImage(cx)
    const path = fresh()
    const layout = await openLayout(path, { create: true })
    const annotations = async () =>
      (JSON.parse(await readFile(join(path, 'index.json'), 'utf8')) as { manifests: { annotations: object }[] }).manifests.map(
        (entry) => entry.annotations,
      )
    await copy(cx, image.source, image.descriptor, layout, { name: 'ghcr.io/acme/web:1.2' })
    const now = { 'org.opencontainers.image.ref.name': '1.2', 'io.containerd.image.name': 'ghcr.io/acme/web:1.2' }
    expect(await annotations()).toEqual([now])
    for (const name of ['1.2', 'ghcr.io/acme/web:1.2']) expect((await layout.resolve(cx, name)).digest).toBe(image.descriptor.digest)
    // As it was written before, and by who has only the one name.
    const old = { 'org.opencontainers.image.ref.name': 'ghcr.io/acme/web:1.2' }
    await writeFile(
      join(path, 'index.json'),
      (await readFile(join(path, 'index.json'), 'utf8')).replace(JSON.stringify(now), JSON.stringify(old)),
    )
    for (const name of ['1.2', 'ghcr.io/acme/web:1.2']) expect((await layout.resolve(cx, name)).digest).toBe(image.descriptor.digest)
    await layout.name(cx, image.descriptor, 'latest')
    expect(await annotations()).toContainEqual({ 'org.opencontainers.image.ref.name': 'latest' })
  })

  test('nothing is written through a link', async () => {
    const image = await sampleImage(cx)
    for (const link of ['blobs', 'blobs/sha256']) {
      const [path, outside] = [fresh(), fresh()]
      await mkdir(outside)
      await openLayout(path, { create: true })
      await rm(join(path, link), { recursive: true })
      await symlink(outside, join(path, link))
      const layout = await openLayout(path, { create: true })
      await expect(copy(cx, image.source, image.descriptor, layout, { name: 'x' })).rejects.toMatchObject({ code: 'escape' })
      expect(await readdir(outside)).toEqual([])
    }
    // A directory that is to become a layout may have such a link, too.
    const [path, outside] = [fresh(), fresh()]
    await mkdir(outside)
    await mkdir(path)
    await symlink(outside, join(path, 'blobs'))
    await expect(openLayout(path, { create: true })).rejects.toMatchObject({ code: 'escape' })
    expect(await readdir(outside)).toEqual([])
  })
})

describe('the lock', () => {
  test('one at a time', async () => {
    const path = fresh()
    let inside = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 20 }, () =>
        withLock(cx, path, async () => {
          most = Math.max(most, ++inside)
          await new Promise((resolve) => setTimeout(resolve, 1))
          inside--
        }),
      ),
    )
    expect(most).toBe(1)
  })

  test('of a dead process it is taken over, of a living one not', async () => {
    const path = fresh()
    const { pid } = spawnSync('true')
    const old = new Date(Date.now() - 5000)
    await writeFile(path, String(pid))
    await utimes(path, old, old)
    expect(await withLock(cx, path, async () => 'mine')).toBe('mine')

    await writeFile(path, String(process.pid))
    await utimes(path, old, old)
    const abort = AbortSignal.timeout(200)
    await expect(withLock({ signal: abort, report() {} }, path, async () => 'mine')).rejects.toThrow()
  })
})

describe.skipIf(!has('skopeo'))('skopeo', () => {
  test('reads what is written here', async () => {
    const path = fresh()
    const index = await sampleIndex(cx)
    const image = await sampleImage(cx, { compression: 'zstd', seed: 'z' })
    const layout = await openLayout(path, { create: true })
    await copy(cx, index.source, index.descriptor, layout, { name: 'index' })
    await copy(cx, image.source, image.descriptor, layout, { name: 'zstd' })
    expect(digestOf(run('skopeo', 'inspect', '--raw', `oci:${path}:index`))).toBe(index.descriptor.digest)
    const other = fresh()
    run('skopeo', 'copy', '--all', `oci:${path}:index`, `oci:${other}:index`)
    run('skopeo', 'copy', `oci:${path}:zstd`, `oci:${other}:zstd`)
    // And what skopeo writes is read here, and is the same.
    const copied = await openLayout(other)
    expect((await copied.resolve(cx, 'index')).digest).toBe(index.descriptor.digest)
    expect(await validate(cx, await openImage(cx, copied, await copied.resolve(cx, 'zstd')))).toEqual([])
    expect(
      await validate(cx, await openImage(cx, copied, await copied.resolve(cx, 'index'), { os: 'linux', architecture: 'amd64' })),
    ).toEqual([])
  })

  test('writes into a layout from here, and the other way round', async () => {
    const [path, other] = [fresh(), fresh()]
    const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleImage(cx, { seed: 'two' })]
    const first = await openLayout(other, { create: true })
    await copy(cx, one.source, one.descriptor, first, { name: '1' })
    const layout = await openLayout(path, { create: true })
    await copy(cx, two.source, two.descriptor, layout, { name: '2' })
    run('skopeo', 'copy', `oci:${other}:1`, `oci:${path}:1`)
    await copy(cx, two.source, two.descriptor, layout, { name: '3' })
    expect((await layout.list(cx)).flatMap((entry) => entry.names).toSorted()).toEqual(['1', '2', '3'])
  })
})

describe.skipIf(!has('umoci'))('umoci', () => {
  test('unpacks what is written here', async () => {
    const path = fresh()
    const image = await sampleImage(cx)
    const layout = await openLayout(path, { create: true })
    await copy(cx, image.source, image.descriptor, layout, { name: 'x' })
    const bundle = fresh()
    run('umoci', 'unpack', ...(process.getuid?.() === 0 ? [] : ['--rootless']), '--image', `${path}:x`, bundle)
    expect(await readFile(join(bundle, 'rootfs', 'etc', 'shared'), 'utf8')).toBe('shared')
  })
})
