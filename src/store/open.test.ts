import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { hasCode } from '#error.ts'
import type { Bytes } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestHex, digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { createRunner } from '#runner/runner.ts'
import { doctor } from './doctor.ts'
import { openStore, type LocalStore } from './open.ts'
import { ownerPrefix } from './owner.ts'
import { diskUsage, prune } from './prune.ts'

const cx = background
let root: string
let store: LocalStore

// Nothing here unpacks or removes trees: a runner that cannot be started proves it.
const open = () => openStore({ root, runner: createRunner({ binary: '/nonexistent/stave-runner', uid: 0, root }) })

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stave-store-'))
  store = await open()
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

async function* stream(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}
function blob(text: string | Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(text), size: Buffer.byteLength(text) }
}
async function collect(bytes: Bytes): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
const temporaries = () => readdirSync(join(root, 'tmp'))

/** A small image: config, one layer, manifest. The layer is no real tar: nobody unpacks it here. */
async function addImage(name: string, content = name, into = store): Promise<{ manifest: Descriptor; config: Digest; layer: Digest }> {
  const layer = blob(`layer of ${content}`, mediaTypes.ociLayer)
  await into.write(cx, layer, stream(`layer of ${content}`))
  const configText = JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  })
  const config = blob(configText, mediaTypes.ociConfig)
  await into.write(cx, config, stream(configText))
  const text = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] })
  const manifest = blob(text, mediaTypes.ociManifest)
  await into.write(cx, manifest, stream(text))
  await into.name(cx, manifest, name)
  return { manifest, config: config.digest, layer: layer.digest }
}

describe('content', () => {
  test('is written, found and read back, from any byte on', async () => {
    const what = blob('hello, world')
    expect(await store.has(cx, what)).toBe(false)
    await store.write(cx, what, stream('hello', ', ', 'world'))
    expect(await store.has(cx, what)).toBe(true)
    expect(await collect(await store.open(cx, what))).toBe('hello, world')
    expect(await collect(await store.open(cx, what, 7))).toBe('world')
    expect(readFileSync(store.blobs.path(what.digest), 'utf8')).toBe('hello, world')
    expect(temporaries()).toEqual([])
  })

  test('larger than any buffer arrives whole', async () => {
    const bytes = Buffer.alloc(5 * 1024 * 1024 + 17)
    for (let index = 0; index < bytes.length; index += 4096) bytes.writeUInt32LE(index, Math.min(index, bytes.length - 4))
    const what = blob(bytes)
    const pieces = Array.from({ length: Math.ceil(bytes.length / 70_001) }, (_, index) =>
      bytes.subarray(index * 70_001, (index + 1) * 70_001),
    )
    await store.write(cx, what, stream(...pieces))
    expect(digestOf(readFileSync(store.blobs.path(what.digest)))).toBe(what.digest)
    let size = 0
    for await (const chunk of await store.open(cx, what)) size += chunk.length
    expect(size).toBe(bytes.length)
  })

  test.each([
    ['another content', ['HELLO'], 'digest-mismatch'],
    ['too little', ['hel'], 'size-mismatch'],
    ['too much', ['hello', 'hello'], 'size-mismatch'],
  ])('%s is refused and leaves nothing', async (_, chunks, code) => {
    const what = blob('hello')
    expect(await codeOf(store.write(cx, what, stream(...chunks)))).toBe(code)
    expect(await store.has(cx, what)).toBe(false)
    expect(temporaries()).toEqual([])
  })

  test('a stream that breaks leaves nothing', async () => {
    const what = blob('hello')
    const broken = (async function* () {
      yield Buffer.from('he')
      throw new Error('the connection was cut')
    })()
    await expect(store.write(cx, what, broken)).rejects.toThrow('the connection was cut')
    expect(await store.has(cx, what)).toBe(false)
    expect(temporaries()).toEqual([])
  })

  test('that is there already is not read again', async () => {
    const what = blob('hello')
    await store.write(cx, what, stream('hello'))
    let read = false
    const untouched = (async function* (): AsyncGenerator<Uint8Array> {
      read = true
      yield Buffer.from('hello')
    })()
    await store.write(cx, what, untouched)
    expect(read).toBe(false)
  })

  test('that was damaged on the disk does not come out', async () => {
    const small = blob('hello')
    const large = blob(Buffer.alloc(600_000, 'x'))
    await store.write(cx, small, stream('hello'))
    await store.write(cx, large, stream(Buffer.alloc(600_000, 'x')))
    writeFileSync(store.blobs.path(small.digest), 'HELLO')
    expect(await codeOf(collect(await store.open(cx, small)))).toBe('digest-mismatch')
    expect(await codeOf(store.blobs.read(small.digest, 100))).toBe('digest-mismatch')
    truncateSync(store.blobs.path(large.digest), 599_999)
    expect(await store.has(cx, large)).toBe(false)
    expect(await codeOf(collect(await store.open(cx, large)))).toBe('size-mismatch')
    // What has the wrong size is not there, so it can be written again.
    await store.write(cx, large, stream(Buffer.alloc(600_000, 'x')))
    expect(await store.has(cx, large)).toBe(true)
  })

  test('that is not there is blob-unknown; more than allowed is too-large', async () => {
    const what = blob('nothing')
    expect(await codeOf(store.open(cx, what))).toBe('blob-unknown')
    expect(await codeOf(store.blobs.read(what.digest, 100))).toBe('blob-unknown')
    const { digest } = await store.blobs.put(Buffer.from('12345'))
    expect(await codeOf(store.blobs.read(digest, 4))).toBe('too-large')
  })

  test('is adopted from a file of another place, as a copy of its own and verified', async () => {
    await using other = await openStore({ root: join(root, 'other'), runner: store.runner })
    const what = blob('hello')
    await other.write(cx, what, stream('hello'))
    expect(await store.adopt!(cx, what, other)).toBe(true)
    writeFileSync(other.blobs.path(what.digest), 'HELLO')
    expect(await collect(await store.open(cx, what))).toBe('hello')
    const lie = blob('truth')
    await other.write(cx, lie, stream('truth'))
    writeFileSync(other.blobs.path(lie.digest), 'TRUTH')
    expect(await codeOf(store.adopt!(cx, lie, other))).toBe('digest-mismatch')
    expect(await store.has(cx, lie)).toBe(false)
    expect(temporaries()).toEqual([])
  })

  test('that a runner wrote becomes a blob only with the right size', async () => {
    const temporary = await store.blobs.temporary()
    writeFileSync(join(root, temporary.path), 'made by the runner')
    const { digest, size } = blob('made by the runner')
    await store.blobs.adopt(temporary, digest, size)
    expect(await store.blobs.has(digest, size)).toBe(true)
    const short = await store.blobs.temporary()
    writeFileSync(join(root, short.path), 'ma')
    expect(await codeOf(store.blobs.adopt(short, digest, size))).toBe('size-mismatch')
    const unused = await store.blobs.temporary()
    await store.blobs.discard(unused)
    expect(temporaries()).toEqual([])
  })

  test('temporary files of dead processes are swept, those of living ones are not', async () => {
    await store.blobs.put(Buffer.from('first'))
    await store[Symbol.asyncDispose]()
    writeFileSync(join(root, 'tmp/999999999-1-dead'), 'x')
    writeFileSync(join(root, `tmp/${ownerPrefix()}alive`), 'x')
    // Process 1 lives, but was not started at tick 1 of the clock of this name.
    writeFileSync(join(root, 'tmp/1-123456789012-reused'), 'x')
    store = await open()
    await store.blobs.put(Buffer.from('second'))
    expect(temporaries()).toEqual([`${ownerPrefix()}alive`])
  })
})

describe('names', () => {
  test('are kept in full form and found as Docker finds them', async () => {
    const { manifest, config } = await addImage('debian:12')
    expect(store.names.list().map((record) => record.name)).toEqual(['docker.io/library/debian:12'])
    const id = digestHex(config)
    for (const text of [
      'debian:12',
      'docker.io/library/debian:12',
      manifest.digest,
      config,
      id,
      id.slice(0, 12),
      config.slice(0, 19),
      `debian@${manifest.digest}`,
    ]) {
      expect(await store.resolve(cx, text), text).toMatchObject({
        digest: manifest.digest,
        size: manifest.size,
        mediaType: manifest.mediaType,
      })
    }
    for (const text of ['debian', 'debian:13', id.slice(0, 3), digestOf('nothing'), `debian@${digestOf('nothing')}`, 'f'.repeat(64)])
      expect(await codeOf(store.resolve(cx, text)), text).toBe('not-found')
  })

  test("podman's localhost/NAME and Docker's NAME stand for each other, where there is only one", async () => {
    const web = await addImage('web', 'one')
    const own = await addImage('localhost/own:2', 'two')
    const team = await addImage('team/app', 'three')
    for (const [text, { manifest }] of [
      ['localhost/web', web],
      ['localhost/web:latest', web],
      ['own:2', own],
      ['localhost/team/app', team],
    ] as const)
      expect(await store.resolve(cx, text), text).toMatchObject({ digest: manifest.digest })
    const both = await addImage('localhost/web', 'four')
    expect(await store.resolve(cx, 'localhost/web')).toMatchObject({ digest: both.manifest.digest })
    expect(await store.resolve(cx, 'web')).toMatchObject({ digest: web.manifest.digest })
    for (const text of ['localhost:5000/web', 'registry.example/web', 'app', 'localhost/own'])
      expect(await codeOf(store.resolve(cx, text)), text).toBe('not-found')
  })

  test('a name that looks like an id wins over the id', async () => {
    const { config } = await addImage('other')
    const short = digestHex(config).slice(0, 8)
    const { manifest } = await addImage(short, 'named like an id')
    expect((await store.resolve(cx, short)).digest).toBe(manifest.digest)
  })

  test('an index leads to the images in it, those that are there', async () => {
    const { manifest, config } = await addImage('base')
    const absent = { ...blob('not fetched', mediaTypes.ociManifest), platform: { os: 'linux', architecture: 's390x' } }
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ ...manifest, platform: { os: 'linux', architecture: 'amd64' } }, absent],
    })
    const index = blob(text, mediaTypes.ociIndex)
    await store.write(cx, index, stream(text))
    store.names.delete('docker.io/library/base:latest')
    await store.name(cx, index, 'multi')
    expect((await store.resolve(cx, 'multi')).digest).toBe(index.digest)
    expect((await store.resolve(cx, digestHex(config).slice(0, 10))).digest).toBe(manifest.digest)
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  })

  test('an image without a name is kept under its digest', async () => {
    const { manifest } = await addImage('temporary')
    store.names.set(manifest.digest, manifest)
    store.names.delete('docker.io/library/temporary:latest')
    expect((await prune(cx, store, { images: 'none' })).blobs).toBe(0)
    expect((await store.resolve(cx, manifest.digest)).digest).toBe(manifest.digest)
  })

  test('what refers to a subject is listed, with the type of its config if it has none', async () => {
    const { manifest } = await addImage('signed')
    const empty = await store.blobs.put(Buffer.from('{}'))
    const config = { mediaType: 'application/vnd.example.signature', digest: empty.digest, size: empty.size }
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [],
      subject: manifest,
      annotations: { key: 'value' },
    })
    const signature = blob(text, mediaTypes.ociManifest)
    await store.write(cx, signature, stream(text))
    expect(await store.referrers!(cx, manifest.digest)).toEqual([
      {
        mediaType: mediaTypes.ociManifest,
        digest: signature.digest,
        size: signature.size,
        artifactType: 'application/vnd.example.signature',
        annotations: { key: 'value' },
      },
    ])
  })
})

describe('cache records', () => {
  const key = (text: string) => digestOf(text)
  test('are found by key and by operation, newest first', () => {
    const layer = {
      digest: digestOf('l'),
      size: 3,
      diffID: digestOf('d'),
      uncompressedSize: 10,
      entries: 1,
      treeDigest: digestOf('t'),
      mediaType: mediaTypes.ociLayerGzip,
    }
    store.cache.put({ key: key('1'), opKey: key('op'), layer, explanation: '{"a":1}' })
    store.cache.put({ key: key('2'), opKey: key('op'), layer: undefined, explanation: '{"a":2}' })
    expect(store.cache.get(key('1'))).toMatchObject({ key: key('1'), opKey: key('op'), layer, explanation: '{"a":1}' })
    expect(store.cache.get(key('2'))?.layer).toBeUndefined()
    expect(
      store.cache
        .byOperation(key('op'))
        .map((record) => record.key)
        .sort(),
    ).toEqual([key('1'), key('2')].sort())
    store.cache.delete(key('1'))
    expect(store.cache.get(key('1'))).toBeUndefined()
    expect(store.cache.list()).toHaveLength(1)
  })
})

describe('prune', () => {
  /** Prune protects what is as young as itself: age it. */
  const age = () => {
    for (const name of readdirSync(join(root, 'blobs/sha256'))) utimesSync(join(root, 'blobs/sha256', name), 1000, 1000)
    store.database.run('DELETE FROM writer')
  }

  test('removes what no name reaches, and nothing else', async () => {
    const kept = await addImage('kept')
    const gone = await addImage('gone')
    await store.blobs.put(Buffer.from('stray'))
    store.names.delete('docker.io/library/gone:latest')
    age()
    expect(await prune(cx, store)).toMatchObject({ blobs: 4, images: [] })
    expect(await store.blobs.has(kept.layer)).toBe(true)
    expect(await store.blobs.has(gone.layer)).toBe(false)
    expect(await codeOf(store.resolve(cx, digestHex(gone.config).slice(0, 12)))).toBe('not-found')
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  })

  test('keeps what was brought in since a living process began', async () => {
    await addImage('base')
    age()
    await using other = await open()
    const what = blob('being pulled')
    await other.write(cx, what, stream('being pulled'))
    expect((await prune(cx, store)).blobs).toBe(0)
    expect(await store.blobs.has(what.digest)).toBe(true)
  })

  test('keeps what is leased, and forgets leases of the dead', async () => {
    const { digest } = await store.blobs.put(Buffer.from('leased'))
    const { digest: dead } = await store.blobs.put(Buffer.from('leased by the dead'))
    age()
    store.database.run("INSERT INTO lease (kind, target, pid, start) VALUES ('blob', ?, 999999999, 1)", dead)
    {
      using _lease = store.leases.hold('blob', digest)
      expect((await prune(cx, store)).blobs).toBe(1)
      expect(await store.blobs.has(digest)).toBe(true)
    }
    expect((await prune(cx, store)).blobs).toBe(1)
    expect(await store.blobs.has(digest)).toBe(false)
  })

  test('keeps the build cache within its limit, the longest unused going first', async () => {
    const layers: Digest[] = []
    for (const index of [1, 2, 3]) {
      const { digest, size } = await store.blobs.put(Buffer.alloc(1000, index))
      layers.push(digest)
      const layer = {
        digest,
        size,
        diffID: digestOf(`d${index}`),
        uncompressedSize: 1,
        entries: 1,
        treeDigest: digest,
        mediaType: mediaTypes.ociLayer,
      }
      store.cache.put({ key: digestOf(`k${index}`), opKey: digestOf('op'), layer, explanation: '{}' })
      store.database.run('UPDATE cache SET used = ? WHERE key = ?', index, digestOf(`k${index}`))
    }
    age()
    expect((await prune(cx, store)).blobs).toBe(0)
    expect(await diskUsage(cx, store)).toMatchObject({ cache: { count: 3, bytes: 3000 }, reclaimableBytes: 0 })
    expect(await prune(cx, store, { cacheBytes: 2500 })).toMatchObject({ cacheRecords: 1, blobs: 1, bytes: 1000 })
    expect(await Promise.all(layers.map((digest) => store.blobs.has(digest)))).toEqual([false, true, true])
    // The second was used at 2 ms after 1970, the third at 3.
    expect(await prune(cx, store, { cacheUnusedSince: 3 })).toMatchObject({ cacheRecords: 1, blobs: 1 })
    expect(await prune(cx, store, { cacheBytes: 0 })).toMatchObject({ cacheRecords: 1, blobs: 1 })
    expect(store.cache.list()).toEqual([])
  })

  test('images without a name go unless told otherwise, all unused ones if asked', async () => {
    const { manifest } = await addImage('a')
    store.names.set(manifest.digest, manifest)
    await addImage('b')
    expect((await prune(cx, store)).images).toEqual([manifest.digest])
    expect([...(await prune(cx, store, { images: 'all' })).images].sort()).toEqual([
      'docker.io/library/a:latest',
      'docker.io/library/b:latest',
    ])
  })
})

describe('doctor', () => {
  test('finds damage, lost parts and leftovers, and repairs them', async () => {
    const { layer } = await addImage('damaged')
    const lost = await addImage('incomplete')
    await addImage('sound')
    writeFileSync(store.blobs.path(layer), 'layer of damageD')
    rmSync(store.blobs.path(lost.layer))
    writeFileSync(join(root, 'tmp/999999999-1-left'), 'x')
    const found = await doctor(cx, store, { verify: true })
    expect(found.map((problem) => problem.kind).sort()).toEqual(['blob-damaged', 'image-incomplete', 'leftover'])
    expect(found.some((problem) => problem.repaired)).toBe(false)
    const repaired = await doctor(cx, store, { verify: true, repair: true })
    expect(repaired.every((problem) => problem.repaired)).toBe(true)
    expect(await doctor(cx, store, { verify: true })).toEqual([])
    expect(store.names.list().map((record) => record.name)).toEqual(['docker.io/library/sound:latest'])
  })
})

describe('several processes', () => {
  const writer = `
    import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))}
    import { digestOf } from ${JSON.stringify(join(import.meta.dirname, '../oci/digest.ts'))}
    const [root, who, rounds] = process.argv.slice(2)
    const cx = { signal: new AbortController().signal, report() {} }
    await using store = await openStore({ root, runner: undefined })
    console.log('open')
    for (let round = 0; round < Number(rounds); round++) {
      const text = JSON.stringify({ who, round, fill: 'x'.repeat(20_000) })
      const what = { mediaType: 'application/json', digest: digestOf(text), size: Buffer.byteLength(text) }
      await store.write(cx, what, (async function* () { for (let at = 0; at < text.length; at += 5000) yield Buffer.from(text.slice(at, at + 5000)) })())
      await store.name(cx, what, 'example.com/' + who + ':' + round)
    }`

  const start = (who: string, rounds: number) => {
    const file = join(root, `writer-${who}.mts`)
    writeFileSync(file, writer)
    const child = spawn(process.execPath, [file, root, who, String(rounds)], { stdio: ['ignore', 'pipe', 'inherit'] })
    return {
      child,
      opened: new Promise((resolve) => child.stdout.once('data', resolve)),
      ended: new Promise<number | null>((resolve) => child.once('exit', resolve)),
    }
  }

  test('write into a new store at once', async () => {
    await store[Symbol.asyncDispose]()
    rmSync(root, { recursive: true })
    const writers = await import('node:fs').then(({ mkdirSync }) => {
      mkdirSync(root)
      return ['a', 'b', 'c', 'd'].map((who) => start(who, 20))
    })
    expect(await Promise.all(writers.map(({ ended }) => ended))).toEqual([0, 0, 0, 0])
    store = await open()
    expect(store.names.list()).toHaveLength(80)
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  }, 60_000)

  test('killed at any instant leave a store in which all that is visible is whole', async () => {
    for (let round = 0; round < 8; round++) {
      const { child, opened, ended } = start(`k${round}`, 100_000)
      await opened
      await new Promise((resolve) => setTimeout(resolve, 1 + round * 7))
      // The last one must have come to something, however slow the machine is.
      while (round === 7 && store.names.list().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      child.kill('SIGKILL')
      await ended
      const problems = await doctor(cx, store, { verify: true })
      expect(problems.filter((problem) => problem.kind !== 'leftover')).toEqual([])
    }
    expect(store.names.list().length).toBeGreaterThan(0)
    await doctor(cx, store, { repair: true })
    expect(await doctor(cx, store, { verify: true })).toEqual([])
  }, 60_000)
})

test('a store of a newer release is not touched', async () => {
  store.names.list()
  store.database.run('PRAGMA user_version = 99')
  await using other = await open()
  let caught: unknown
  try {
    other.names.list()
  } catch (error) {
    caught = error
  }
  expect(hasCode(caught, 'unsupported')).toBe(true)
})
