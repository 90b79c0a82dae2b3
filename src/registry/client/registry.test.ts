import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { memory } from '#image/memory.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { parseHosts } from './hosts.ts'
import { createRegistryClient, openRegistry, type Registry } from './registry.ts'
import {
  bytesOf,
  collect,
  configOf,
  indexOf,
  layerOf,
  manifestOf,
  pushImage,
  quickRetry,
  type Rig,
  sample,
  type Sample,
  startRig,
} from '../testing.ts'

let rig: Rig
let registry: Registry

beforeEach(async () => {
  rig = await startRig()
  registry = rig.open('acme/web')
})
afterEach(() => rig[Symbol.asyncDispose]())

const mebibyte = 1024 * 1024

describe('requests', () => {
  test('pushing an image takes three for each new blob and two for the manifest', async () => {
    const layer = layerOf(100)
    const config = configOf()
    const manifest = manifestOf(config, [layer])
    for (const { what, raw } of [layer, config, manifest]) {
      expect(await registry.has(rig.cx, what)).toBe(false)
      await registry.write(rig.cx, what, bytesOf(raw))
      expect(await registry.has(rig.cx, what)).toBe(true)
    }
    await registry.name(rig.cx, manifest.what, 'v1')
    const blob = [
      'HEAD /v2/acme/web/blobs/<digest> 404',
      'POST /v2/acme/web/blobs/uploads/ 202',
      'PUT /v2/acme/web/blobs/uploads/<id>?digest=<digest> 201',
    ]
    expect(rig.log()).toEqual([
      ...blob,
      ...blob,
      'HEAD /v2/acme/web/manifests/<digest> 404',
      'PUT /v2/acme/web/manifests/<digest> 201',
      'PUT /v2/acme/web/manifests/v1 201',
    ])
  })

  test('pulling takes one for the manifest and one for each blob', async () => {
    const { layer, config, manifest } = await pushImage(rig.cx, registry, 'v1')
    rig.log()
    const other = rig.open('acme/web')
    const root = await other.resolve(rig.cx, 'v1')
    expect(root).toEqual(manifest.what)
    expect(digestOf(await collect(await other.open(rig.cx, root)))).toBe(manifest.what.digest)
    expect(digestOf(await collect(await other.open(rig.cx, config.what)))).toBe(config.what.digest)
    expect(digestOf(await collect(await other.open(rig.cx, layer.what)))).toBe(layer.what.digest)
    expect(rig.log()).toEqual([
      'GET /v2/acme/web/manifests/v1 200',
      'GET /v2/acme/web/blobs/<digest> 200',
      'GET /v2/acme/web/blobs/<digest> 200',
    ])
  })

  test('a mount takes one', async () => {
    const { layer } = await pushImage(rig.cx, registry, 'v1')
    rig.log()
    const other = rig.open('acme/other')
    expect(await other.adopt(rig.cx, layer.what, registry)).toBe(true)
    expect(rig.log()).toEqual(['POST /v2/acme/other/blobs/uploads/?mount=<digest>&from=acme/web 201'])
    expect(digestOf(await collect(await other.open(rig.cx, layer.what)))).toBe(layer.what.digest)
  })

  test('a mount answered 202 is not an error: its session takes the upload', async () => {
    const layer = layerOf(100)
    const other = rig.open('acme/other')
    expect(await other.adopt(rig.cx, layer.what, registry)).toBe(false)
    await other.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect(rig.log()).toEqual([
      'POST /v2/acme/other/blobs/uploads/?mount=<digest>&from=acme/web 202',
      'PUT /v2/acme/other/blobs/uploads/<id>?digest=<digest> 201',
    ])
  })

  test('a mount that is refused is not an error either, and not tried again', async () => {
    rig.server.faults.add({ method: 'POST', path: /mount=/, status: 403, times: 9 })
    const other = rig.open('acme/other')
    expect(await other.adopt(rig.cx, layerOf(10).what, registry)).toBe(false)
    expect(await other.adopt(rig.cx, layerOf(10).what, registry)).toBe(false)
    expect(rig.log()).toHaveLength(1)
  })

  test('fifty at once are all answered', async () => {
    const layers = Array.from({ length: 50 }, () => layerOf(2000))
    await Promise.all(layers.map(({ what, raw }) => registry.write(rig.cx, what, bytesOf(raw))))
    const read = await Promise.all(layers.map(async ({ what }) => collect(await registry.open(rig.cx, what))))
    expect(read.every((bytes, index) => bytes.equals(layers[index]!.raw))).toBe(true)
  })
})

describe('a download', () => {
  test('goes on where the connection broke', async () => {
    const layer = layerOf(3 * mebibyte)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    rig.log()
    rig.server.faults.add({ method: 'GET', cutAfter: mebibyte, times: 2 })
    expect(digestOf(await collect(await registry.open(rig.cx, layer.what)))).toBe(layer.what.digest)
    expect(rig.requests.slice(-3).map(({ headers, status }) => [status, headers.range !== undefined])).toEqual([
      [200, false],
      [206, true],
      [206, true],
    ])
  })

  test('starts at any byte', async () => {
    const layer = layerOf(5000)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    for (const from of [1, 4999, 5000])
      expect(await collect(await registry.open(rig.cx, layer.what, from))).toEqual(Buffer.from(layer.raw.subarray(from)))
  })

  test('that breaks again and again fails in the end', async () => {
    const layer = layerOf(200_000)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    rig.server.faults.add({ method: 'GET', cutAfter: 10, times: 100 })
    await expect(collect(await registry.open(rig.cx, layer.what))).rejects.toMatchObject({ code: 'network' })
  })

  test('that was changed fails at its end', async () => {
    const layer = layerOf(5000)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    rig.server.faults.add({ method: 'GET', corrupt: true })
    await expect(collect(await registry.open(rig.cx, layer.what))).rejects.toMatchObject({ code: 'digest-mismatch' })
  })

  test('of another size is refused', async () => {
    const layer = layerOf(5000)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    await expect(registry.open(rig.cx, { ...layer.what, size: 4999 })).rejects.toMatchObject({ code: 'size-mismatch' })
    rig.server.faults.add({ method: 'GET', dropHeaders: ['content-length'] })
    await expect(registry.open(rig.cx, { ...layer.what, size: 4999 }).then(collect)).rejects.toMatchObject({ code: 'size-mismatch' })
  })

  test('that nobody reads to the end leaves the client usable', async () => {
    const layer = layerOf(20 * mebibyte)
    await registry.transfer(rig.cx, layer.what, async (from) => bytesOf(layer.raw, from))
    for await (const chunk of await registry.open(rig.cx, layer.what)) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect((await collect(await registry.open(rig.cx, layer.what))).length).toBe(layer.raw.length)
  })

  test('ends when cancelled', async () => {
    const layer = layerOf(mebibyte)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    rig.server.faults.add({ method: 'GET', bytesPerSecond: 10_000 })
    const stop = new AbortController()
    const reading = registry.open({ ...rig.cx, signal: stop.signal }, layer.what).then(collect)
    setTimeout(() => stop.abort(), 100)
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' })
  })

  test('follows a redirect to another host without the credentials', async () => {
    const layer = layerOf(5000)
    const seen: (string | undefined)[] = []
    const store = createServer((request, response) => {
      seen.push(request.headers.authorization)
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response.writeHead(start === 0 ? 200 : 206, start === 0 ? {} : { 'content-range': `bytes ${start}-4999/5000` })
      response.end(layer.raw.subarray(start))
    })
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve))
    await using guarded = await startRig({ auth: { kind: 'basic', users: { u: 'p' } } })
    const opened = guarded.open('x', {
      credentials: { find: async () => ({ kind: 'password', username: 'u', password: 'p', from: 'test' }) },
    })
    await opened.write(guarded.cx, layer.what, bytesOf(layer.raw))
    guarded.server.faults.add({
      method: 'GET',
      path: /blobs\/sha/,
      redirect: `http://127.0.0.1:${(store.address() as AddressInfo).port}/presigned?secret=1`,
      times: 2,
    })
    expect(digestOf(await collect(await opened.open(guarded.cx, layer.what)))).toBe(layer.what.digest)
    expect(await collect(await opened.open(guarded.cx, layer.what, 100))).toEqual(Buffer.from(layer.raw.subarray(100)))
    expect(seen).toEqual([undefined, undefined])
    store.close()
  })

  test('does not follow redirects for ever', async () => {
    rig.server.faults.add({ method: 'GET', redirect: (path) => path, times: 100 })
    await expect(registry.open(rig.cx, layerOf(10).what)).rejects.toThrow('more than 5 redirects')
    expect(rig.log().length).toBe(6)
  })
})

describe('an upload', () => {
  const large = () => layerOf(12 * mebibyte)

  test('that broke off goes on where it was', async () => {
    const layer = large()
    rig.server.faults.add({ method: 'PUT', path: /uploads/, cutUploadAfter: 5 * mebibyte })
    const opened: number[] = []
    await registry.transfer(rig.cx, layer.what, async (from) => {
      opened.push(from)
      return bytesOf(layer.raw, from)
    })
    expect(opened).toHaveLength(2)
    expect(opened[1]).toBeGreaterThanOrEqual(5 * mebibyte)
    expect(digestOf(await collect(await registry.open(rig.cx, layer.what)))).toBe(layer.what.digest)
  })

  test('is begun anew where the registry does not know how far it came', async () => {
    const layer = large()
    rig.server.faults.add({ method: 'PUT', path: /uploads/, cutUploadAfter: 5 * mebibyte })
    rig.server.faults.add({ method: 'GET', path: /uploads/, status: 404 })
    await registry.transfer(rig.cx, layer.what, async (from) => bytesOf(layer.raw, from))
    expect(digestOf(await collect(await registry.open(rig.cx, layer.what)))).toBe(layer.what.digest)
  })

  test('that only the answer was lost of is not sent again', async () => {
    const layer = layerOf(mebibyte / 2)
    rig.server.faults.add({ method: 'POST', path: /uploads/, status: 503 })
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect(rig.log()).toEqual([
      'POST /v2/acme/web/blobs/uploads/ 503',
      'POST /v2/acme/web/blobs/uploads/ 202',
      'PUT /v2/acme/web/blobs/uploads/<id>?digest=<digest> 201',
    ])
  })

  test('of small content is repeated, though its stream is read once', async () => {
    const layer = layerOf(1000)
    rig.server.faults.add({ method: 'PUT', path: /uploads/, status: 502, times: 2 })
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect(digestOf(await collect(await registry.open(rig.cx, layer.what)))).toBe(layer.what.digest)
  })

  test('too large for what is in between is sent in chunks', async () => {
    const layer = layerOf(40 * mebibyte)
    rig.server.faults.add({ method: 'PUT', path: /uploads/, status: 413 })
    await registry.transfer(rig.cx, layer.what, async (from) => bytesOf(layer.raw, from))
    expect(rig.log().filter((line) => line.startsWith('PATCH'))).toHaveLength(3)
    expect(digestOf(await collect(await registry.open(rig.cx, layer.what)))).toBe(layer.what.digest)
  })

  test.each([1000, 2 * mebibyte])('of %d bytes that are others leaves nothing', async (size) => {
    const layer = layerOf(size)
    const wrong = Buffer.from(layer.raw)
    wrong[0]! ^= 1
    await expect(registry.write(rig.cx, layer.what, bytesOf(wrong))).rejects.toMatchObject({ code: 'digest-mismatch' })
    await expect(registry.write(rig.cx, layer.what, bytesOf(layer.raw.subarray(1)))).rejects.toMatchObject({ code: 'size-mismatch' })
    expect(await rig.open('acme/web').has(rig.cx, layer.what)).toBe(false)
  })

  test('that lies about verifying itself is found out by the registry', async () => {
    const layer = layerOf(2 * mebibyte)
    const wrong = Buffer.from(layer.raw)
    wrong[0]! ^= 1
    const bytes = Object.assign(bytesOf(wrong), { verifies: layer.what.digest })
    await expect(registry.write(rig.cx, layer.what, bytes)).rejects.toMatchObject({ code: 'digest-mismatch' })
  })

  test('whose source fails, fails with that', async () => {
    const layer = layerOf(3 * mebibyte)
    async function* broken() {
      yield layer.raw.subarray(0, mebibyte)
      throw new StaveError('io', 'cannot read the disk')
    }
    await expect(registry.write(rig.cx, layer.what, broken())).rejects.toMatchObject({ code: 'io' })
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect(await registry.has(rig.cx, layer.what)).toBe(true)
  })
})

describe('retries', () => {
  test('a 429 with Retry-After is waited for', async () => {
    await pushImage(rig.cx, registry, 'v1')
    rig.server.faults.add({ method: 'GET', status: 429, retryAfter: '1' })
    const start = performance.now()
    await rig.open('acme/web').resolve(rig.cx, 'v1')
    expect(performance.now() - start).toBeGreaterThan(950)
  })

  test('a wait that is too long is not waited for, and said', async () => {
    rig.server.faults.add({ method: 'GET', status: 429, retryAfter: '3600' })
    const error: unknown = await registry.resolve(rig.cx, 'v1').catch((failure: unknown) => failure)
    expect(error).toMatchObject({ code: 'too-many-requests', hint: expect.stringContaining('3600') })
  })

  test('end at some time', async () => {
    rig.server.faults.add({ status: 503, times: 100 })
    await expect(registry.resolve(rig.cx, 'v1')).rejects.toMatchObject({ code: 'registry-problem' })
    expect(rig.log()).toHaveLength(5)
  })

  test('do not repeat what will not change', async () => {
    await expect(registry.resolve(rig.cx, 'v1')).rejects.toMatchObject({ code: 'not-found' })
    expect(rig.log()).toHaveLength(1)
  })

  test('a registry that is not there is said soon', async () => {
    const other = rig.client().open(parseReference('localhost:1/x'))
    const error: unknown = await other.resolve(rig.cx, 'latest').catch((failure: unknown) => failure)
    expect(error).toMatchObject({
      code: 'network',
      hint: 'Nothing listens at localhost:1. Is the registry running, and is the port right?',
    })
  })
})

describe('manifests', () => {
  test('whose header lies about the digest are refused', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    rig.server.faults.add({ method: 'GET', corrupt: true, times: 2 })
    const fresh = rig.open('acme/web')
    await expect(fresh.resolve(rig.cx, 'v1')).rejects.toMatchObject({ code: 'digest-mismatch' })
    await expect(fresh.resolve(rig.cx, manifest.what.digest)).rejects.toMatchObject({ code: 'digest-mismatch' })
  })

  test('without the headers are read as what they are', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    rig.server.faults.add({ method: 'GET', dropHeaders: ['docker-content-digest', 'content-type'] })
    expect(await rig.open('acme/web').resolve(rig.cx, 'v1')).toEqual(manifest.what)
  })

  test.each<[name: string, type: string, body: string, code: string, message: RegExp]>([
    ['a page to log in', 'text/html; charset=utf-8', '<html>log in</html>', 'registry-problem', /what came is text\/html, not a manifest/],
    ['a blob', 'application/vnd.oci.image.config.v1+json', '{}', 'registry-problem', /config.v1\+json, not a manifest/],
    ['nothing', mediaTypes.ociManifest, '', 'invalid-document', /not JSON/],
    ['a list', mediaTypes.ociManifest, '[]', 'invalid-document', /must be an object/],
    ["Docker's schema 1", mediaTypes.dockerSchema1Signed, '{"schemaVersion":1,"fsLayers":[]}', 'unsupported', /schema 1/],
    ['more than a manifest may have', mediaTypes.ociManifest, ' '.repeat(5 * mebibyte), 'too-large', /more than 4194304 bytes/],
  ])('that are %s are refused', async (_, type, body, code, message) => {
    const server = createServer((_request, response) => void response.writeHead(200, { 'content-type': type }).end(body))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    await using client = createRegistryClient()
    const source = client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/x`))
    const pull = async () => copy(rig.cx, source, await source.resolve(rig.cx, 'latest'), memory())
    await expect(pull()).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
    server.close()
  })

  test('and blobs with digests of sha512 are pushed and pulled', async () => {
    const as512 = ({ what, raw }: Sample): Sample => ({ what: { ...what, digest: digestOf(raw, 'sha512') }, raw })
    const [config, layer] = [as512(configOf()), as512(layerOf(2 * mebibyte))]
    const manifest = as512(manifestOf(config, [layer]))
    const place = memory()
    for (const { what, raw } of [config, layer, manifest]) await place.write(rig.cx, what, bytesOf(raw))
    await copy(rig.cx, place, manifest.what, registry, { name: 'v512' })
    const fresh = rig.open('acme/web')
    const back = memory()
    await copy(rig.cx, fresh, await fresh.resolve(rig.cx, manifest.what.digest), back)
    expect(back.blobs.get(layer.what.digest)).toEqual(Buffer.from(layer.raw))
    // Under a tag a registry says what digest it likes; the bytes are the same.
    expect((await fresh.resolve(rig.cx, 'v512')).size).toBe(manifest.raw.length)
  })

  test('that break off are asked for again', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    rig.server.faults.add({ method: 'GET', path: /manifests/, cutAfter: 20, times: 2 })
    rig.log()
    await using client = rig.client()
    const other = client.open(registry.reference)
    expect((await other.resolve(rig.cx, 'v1')).digest).toBe(manifest.what.digest)
    expect(rig.log()).toHaveLength(3)
    rig.server.faults.add({ method: 'GET', path: /tags.list/, cutAfter: 3, times: 2 })
    expect(await other.listTags(rig.cx)).toEqual(['v1'])
    rig.server.faults.add({ method: 'GET', path: /manifests/, cutAfter: 20, times: 100 })
    await expect(client.open({ ...registry.reference, repository: 'acme/web' }).resolve(rig.cx, 'v1')).rejects.toMatchObject({
      code: 'network',
    })
  })

  test('and small blobs whose PUT is not answered fail once the time for an answer is over', async () => {
    rig.server.faults.add({ method: 'PUT', delayMs: 3000, times: 100 })
    const impatient = rig.client({ retry: { ...quickRetry, answerMs: 300 } }).open(registry.reference)
    const layer = layerOf(100)
    const started = performance.now()
    await expect(impatient.write(rig.cx, layer.what, bytesOf(layer.raw))).rejects.toMatchObject({ code: 'timeout' })
    const manifest = manifestOf(configOf(), [])
    await expect(impatient.write(rig.cx, manifest.what, bytesOf(manifest.raw))).rejects.toMatchObject({ code: 'timeout' })
    expect(performance.now() - started).toBeLessThan(2500)
    rig.server.faults.clear()
  })

  test('that are too large are not read', async () => {
    const raw = Buffer.alloc(5 * mebibyte, ' ')
    await expect(registry.write(rig.cx, { ...sample(mediaTypes.ociManifest, raw).what }, bytesOf(raw))).rejects.toMatchObject({
      code: 'too-large',
    })
  })

  test('whose blobs are missing are refused', async () => {
    const { what, raw } = manifestOf(configOf(), [layerOf(10)])
    await expect(registry.write(rig.cx, what, bytesOf(raw))).rejects.toThrow('cannot push')
  })

  test('of an index come after its children', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    const index = indexOf([manifest])
    await registry.write(rig.cx, index.what, bytesOf(index.raw))
    await registry.name(rig.cx, index.what, 'all')
    expect(await rig.open('acme/web').resolve(rig.cx, 'all')).toEqual(index.what)
  })

  test('are listed, and deleted by tag or digest', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    for (const name of ['v2', 'v3']) await registry.name(rig.cx, manifest.what, name)
    expect(await registry.listTags(rig.cx)).toEqual(['v1', 'v2', 'v3'])
    await registry.deleteManifest(rig.cx, 'v2')
    expect(await registry.listTags(rig.cx)).toEqual(['v1', 'v3'])
    await registry.deleteManifest(rig.cx, manifest.what.digest)
    expect(await registry.listTags(rig.cx)).toEqual([])
    await expect(registry.deleteManifest(rig.cx, manifest.what.digest)).rejects.toMatchObject({ code: 'not-found' })
  })

  test('long lists are read page by page', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'a')
    const names = Array.from({ length: 1500 }, (_, index) => `t${String(index).padStart(4, '0')}`)
    for (let at = 0; at < names.length; at += 100) {
      const query = names.slice(at, at + 100).map((name) => `tag=${name}`)
      const answer = await fetch(`${rig.server.url}/v2/acme/web/manifests/${manifest.what.digest}?${query.join('&')}`, {
        method: 'PUT',
        headers: { 'content-type': manifest.what.mediaType },
        body: new Uint8Array(manifest.raw),
      })
      expect(answer.status).toBe(201)
    }
    rig.log()
    expect(await registry.listTags(rig.cx)).toEqual(['a', ...names])
    expect(rig.log()).toHaveLength(2)
    expect(await registry.listTags(rig.cx, { last: 't1497' })).toEqual(['t1498', 't1499'])
    expect(await registry.listTags(rig.cx, { limit: 3 })).toEqual(['a', 't0000', 't0001'])
  })
})

describe('referrers', () => {
  const artifact = (subject: { what: object }, config = configOf()) =>
    manifestOf(config, [], { artifactType: 'application/x.test', subject: subject.what, annotations: { note: 'hello' } })

  test('by the API', async () => {
    const { manifest, config } = await pushImage(rig.cx, registry, 'v1')
    const { what, raw } = artifact(manifest, config)
    await registry.write(rig.cx, what, bytesOf(raw))
    const listed = { ...what, artifactType: 'application/x.test', annotations: { note: 'hello' } }
    expect(await registry.referrers(rig.cx, manifest.what.digest)).toEqual([listed])
    expect(await registry.listTags(rig.cx)).toEqual(['v1'])
  })

  test('by a tag, where there is no API', async () => {
    rig.server.faults.add({ path: /referrers/, status: 404, times: 100 })
    rig.server.faults.add({ method: 'PUT', path: /manifests/, dropHeaders: ['oci-subject'], times: 100 })
    const { manifest, config } = await pushImage(rig.cx, registry, 'v1')
    const { what, raw } = artifact(manifest, config)
    const other = artifact(manifest, layerOf(0))
    const otherConfig = layerOf(0)
    await registry.write(rig.cx, otherConfig.what, bytesOf(otherConfig.raw))
    await Promise.all([registry.write(rig.cx, what, bytesOf(raw)), registry.write(rig.cx, other.what, bytesOf(other.raw))])
    const found = await rig.open('acme/web').referrers(rig.cx, manifest.what.digest)
    expect(found.map(({ digest }) => digest).sort()).toEqual([what.digest, other.what.digest].sort())
    expect(await registry.listTags(rig.cx)).toEqual([manifest.what.digest.replace(':', '-'), 'v1'])
  })

  test('of what has none', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    expect(await registry.referrers(rig.cx, manifest.what.digest)).toEqual([])
  })
})

test('a repository alone brings and closes its own client', async () => {
  const { layer, manifest } = await pushImage(rig.cx, registry, 'v1')
  await using one = await openRegistry({ reference: parseReference(`${rig.server.host}/acme/web:v1`) })
  expect(await one.resolve(rig.cx, one.reference.tag!)).toEqual(manifest.what)
  // It is known as a place to mount from, like any other.
  expect(await rig.open('acme/other').adopt(rig.cx, layer.what, one)).toBe(true)
})

describe('mirrors', () => {
  const mirrored = (mirror: string, more = '') =>
    parseHosts([{ file: 'x', text: `[[registry]]\nlocation = "${rig.server.host}"\n[[registry.mirror]]\nlocation = "${mirror}"\n${more}` }])

  test('are read from, and never written to', async () => {
    await using mirror = await startRig()
    const { manifest, layer } = await pushImage(mirror.cx, mirror.open('acme/web'), 'v1')
    mirror.log()
    const opened = rig.open('acme/web', { hosts: mirrored(mirror.server.host) })
    expect(await opened.resolve(rig.cx, 'v1')).toEqual(manifest.what)
    await collect(await opened.open(rig.cx, layer.what))
    expect(rig.log()).toEqual([])
    mirror.log()
    await opened.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect(mirror.log()).toEqual([])
  })

  test('that fail are passed over', async () => {
    const { manifest } = await pushImage(rig.cx, registry, 'v1')
    const opened = rig.open('acme/web', { hosts: mirrored('localhost:1') })
    expect(await opened.resolve(rig.cx, 'v1')).toEqual(manifest.what)
    await expect(opened.resolve(rig.cx, 'none')).rejects.toThrow('not found')
  })

  test('that lack something are told where the registry itself cannot be reached', async () => {
    await using mirror = await startRig()
    const text = `[[registry]]\nlocation = "registry.invalid"\n[[registry.mirror]]\nlocation = "${mirror.server.host}"\ninsecure = true\n`
    await using client = createRegistryClient({ hosts: parseHosts([{ file: 'x', text }]), retry: { ...quickRetry, attempts: 1 } })
    const { host } = mirror.server
    await expect(client.open(parseReference('registry.invalid/acme/web')).resolve(rig.cx, 'v1')).rejects.toMatchObject({
      code: 'network',
      message: expect.stringContaining(`and before it mirrors failed: ${host} (not found)`),
      hint: expect.stringContaining(`The mirror ${host} does not have it.`),
    })
  })

  test('for digests only are not asked for tags', async () => {
    await using mirror = await startRig()
    await pushImage(mirror.cx, mirror.open('acme/web'), 'v1')
    mirror.log()
    const opened = rig.open('acme/web', { hosts: mirrored(mirror.server.host, 'pull-from-mirror = "digest-only"') })
    await expect(opened.resolve(rig.cx, 'v1')).rejects.toMatchObject({ code: 'not-found' })
    expect(mirror.log()).toEqual([])
  })
})
