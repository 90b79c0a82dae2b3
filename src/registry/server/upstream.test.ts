import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { memory } from '#image/memory.ts'
import { digestOf } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type RegistryClient } from '../client/registry.ts'
import { givenCredentials } from '../login/credentials.ts'
import { bytesOf, indexOf, layerOf, manifestOf, pushImage, quickRetry, type Rig, startRig } from '../testing.ts'

const mebibyte = 1024 * 1024
const user = { name: 'cache', password: 'secret-of-the-cache' }

let upstream: Rig
let cache: Rig
let client: RegistryClient
beforeEach(async () => {
  upstream = await startRig({ auth: { kind: 'token', users: { [user.name]: user.password } } })
  client = createRegistryClient({ retry: { ...quickRetry, attempts: 1 }, credentials: givenCredentials(user.name, user.password) })
  cache = await startRig({ upstreams: { client, from: [{ prefix: '', registry: upstream.server.host, path: '' }] } })
})
afterEach(async () => {
  await cache[Symbol.asyncDispose]()
  await client[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

const origin = (name: string, rig = upstream) => rig.open(name, { credentials: givenCredentials(user.name, user.password) })
const pull = async (name: string, tag: string, rig = cache) => {
  const registry = rig.open(name)
  const root = await registry.resolve(cx, tag)
  await copy(cx, registry, root, memory())
  return root.digest
}
/** What the upstream was asked for since the last call, but for tokens. */
const asked = (rig = upstream) => rig.log().filter((line) => !line.includes('/token') && !line.endsWith(' 401'))

test('what is asked for is fetched once, and is there when the upstream is not', async () => {
  const { manifest } = await pushImage(cx, origin('a/b'), 'v1', layerOf(3 * mebibyte))
  asked()
  expect(await pull('a/b', 'v1')).toBe(manifest.what.digest)
  const first = asked()
  expect(first.filter((line) => line.startsWith('GET'))).toHaveLength(3)
  expect(await pull('a/b', 'v1')).toBe(manifest.what.digest)
  // A tag is looked at each time, by a HEAD, which counts as no pull; nothing else is asked for.
  expect(asked()).toEqual(['HEAD /v2/a/b/manifests/v1 200'])
  await upstream.server.close()
  expect(await pull('a/b', 'v1')).toBe(manifest.what.digest)
  expect(await cache.open('a/b').listTags(cx)).toEqual(['v1'])
  expect(await (await fetch(`${cache.server.url}/metrics`)).text()).toMatch(/stave_registry_upstream_total\{outcome="stale"\} \d/)
})

test('a tag that was moved or deleted is so here too', async () => {
  const [one, two] = [await pushImage(cx, origin('a'), 'v1'), await pushImage(cx, origin('a'), 'v2')]
  expect(await pull('a', 'v1')).toBe(one.manifest.what.digest)
  await origin('a').name(cx, two.manifest.what, 'v1')
  expect(await pull('a', 'v1')).toBe(two.manifest.what.digest)
  await origin('a').deleteTag(cx, 'v1')
  await expect(pull('a', 'v1')).rejects.toMatchObject({ code: 'not-found' })
  expect(await pull('a', one.manifest.what.digest)).toBe(one.manifest.what.digest)
  await expect(pull('a', digestOf('nothing'))).rejects.toMatchObject({ code: 'not-found' })
  await upstream.server.close()
  await expect(pull('a', 'v1')).rejects.toMatchObject({ code: 'registry-problem' })
})

test('an index comes whole or in part, and what refers to it is listed', async () => {
  const children = [(await pushImage(cx, origin('a'), 'one')).manifest, (await pushImage(cx, origin('a'), 'two')).manifest]
  const index = indexOf(children)
  const { config } = await pushImage(cx, origin('a'), 'three')
  const signature = manifestOf(config, [], { artifactType: 'application/x-signature', subject: index.what })
  for (const { what, raw } of [index, signature]) await origin('a').write(cx, what, bytesOf(raw))
  await origin('a').name(cx, index.what, 'all')
  expect(await cache.open('a').resolve(cx, 'all')).toEqual(index.what)
  expect((await cache.open('a').referrers(cx, index.what.digest)).map(({ artifactType }) => artifactType)).toEqual([
    'application/x-signature',
  ])
  await upstream.server.close()
  expect((await cache.open('a').referrers(cx, index.what.digest)).map(({ digest }) => digest)).toEqual([signature.what.digest])
  expect(await cache.open('a').resolve(cx, 'all')).toEqual(index.what)
  await expect(pull('a', children[0]!.what.digest)).rejects.toMatchObject({ code: 'registry-problem' })
})

test('many who ask for a blob at once read one download, also in part', async () => {
  const { layer } = await pushImage(cx, origin('a'), 'v1', layerOf(8 * mebibyte))
  upstream.server.faults.add({ method: 'GET', path: /blobs/, bytesPerSecond: 12 * mebibyte })
  asked()
  const url = `${cache.server.url}/v2/a/blobs/${layer.what.digest}`
  const parts = await Promise.all([
    ...Array.from({ length: 6 }, async () => digestOf(Buffer.from(await (await fetch(url)).arrayBuffer()))),
    fetch(url, { headers: { range: 'bytes=100-199' } }).then(async (response) => digestOf(Buffer.from(await response.arrayBuffer()))),
  ])
  expect(new Set(parts)).toEqual(new Set([layer.what.digest, digestOf(layer.raw.subarray(100, 200))]))
  expect(asked().filter((line) => line.startsWith('GET'))).toHaveLength(1)
})

test('a blob that another repository brought is not fetched again, if the upstream says that this one has it', async () => {
  const { layer } = await pushImage(cx, origin('a'), 'v1', layerOf(1000))
  await pushImage(cx, origin('b'), 'v1', layer)
  await pull('a', 'v1')
  asked()
  await pull('b', 'v1')
  expect(asked().filter((line) => line.startsWith('GET') && line.includes('blobs'))).toHaveLength(0)
  expect((await fetch(`${cache.server.url}/v2/c/blobs/${layer.what.digest}`)).status).toBe(404)
})

test('what is not what it says reaches nobody whole, and is not kept', async () => {
  const { layer } = await pushImage(cx, origin('a'), 'v1', layerOf(2 * mebibyte))
  upstream.server.faults.add({ method: 'GET', path: /blobs/, corrupt: true })
  const url = `${cache.server.url}/v2/a/blobs/${layer.what.digest}`
  await expect(fetch(url).then((response) => response.arrayBuffer())).rejects.toThrow()
  const again = await fetch(url)
  expect(digestOf(Buffer.from(await again.arrayBuffer()))).toBe(layer.what.digest)
})

test('credentials stay where they belong, both ways', async () => {
  await pushImage(cx, origin('a'), 'v1')
  const secret = Buffer.from('client:secret-of-the-client').toString('base64')
  const seen = cache.requests.length
  const response = await fetch(`${cache.server.url}/v2/a/manifests/v1`, { headers: { authorization: `Basic ${secret}` } })
  expect(response.status).toBe(200)
  expect(cache.requests.length).toBe(seen + 1)
  expect(JSON.stringify(upstream.requests.map(({ headers }) => headers))).not.toContain(secret)
  expect(JSON.stringify([...response.headers])).not.toContain('earer')
  // What the upstream says when it refuses is not told either.
  await upstream.server.close()
  const refused = await fetch(`${cache.server.url}/v2/a/manifests/v9`)
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([502, null])
})

test('nothing is pushed to what is another registry’s', async () => {
  const response = await fetch(`${cache.server.url}/v2/a/blobs/uploads/`, { method: 'POST' })
  expect(response.status).toBe(405)
})

describe('several upstreams', () => {
  let second: Rig
  let both: Rig
  beforeEach(async () => {
    second = await startRig()
    both = await startRig({
      upstreams: {
        client,
        from: [
          { prefix: 'one', registry: upstream.server.host, path: 'team' },
          { prefix: 'two', registry: '127.0.0.1:1', path: '' },
          { prefix: 'two', registry: second.server.host, path: '' },
        ],
      },
    })
  })
  afterEach(async () => {
    await both[Symbol.asyncDispose]()
    await second[Symbol.asyncDispose]()
  })

  test('a prefix chooses, the next one is asked where one is not there, and other repositories are this registry’s own', async () => {
    const { manifest } = await pushImage(cx, origin('team/a'), 'v1')
    const other = await pushImage(cx, second.open('a'), 'v1')
    expect(await pull('one/a', 'v1', both)).toBe(manifest.what.digest)
    expect(await pull('two/a', 'v1', both)).toBe(other.manifest.what.digest)
    const own = await pushImage(cx, both.open('three/a'), 'v1')
    expect(await pull('three/a', 'v1', both)).toBe(own.manifest.what.digest)
  })

  test('ns chooses by the name of the registry, and is said back', async () => {
    const { manifest } = await pushImage(cx, second.open('a'), 'v1')
    const ns = `ns=${encodeURIComponent(second.server.host)}`
    const response = await fetch(`${both.server.url}/v2/a/manifests/v1?${ns}`)
    expect([response.status, response.headers.get('oci-namespace'), response.headers.get('docker-content-digest')]).toEqual([
      200,
      second.server.host,
      manifest.what.digest,
    ])
    expect((await fetch(`${both.server.url}/v2/two/a/manifests/v1`)).status).toBe(200)
  })
})

test('a repository of Docker Hub may be named in short', async () => {
  const asked: string[] = []
  const fake = {
    ...client,
    open: (what: { registry: string; repository: string }) => (
      asked.push(`${what.registry}/${what.repository}`),
      client.open(parseReference('127.0.0.1:1/x'))
    ),
  }
  await using hub = await startRig({ upstreams: { client: fake, from: [{ prefix: '', registry: 'docker.io', path: '' }] } })
  await fetch(`${hub.server.url}/v2/debian/manifests/12`)
  await fetch(`${hub.server.url}/v2/acme/web/manifests/1`)
  expect(asked).toEqual(['docker.io/library/debian', 'docker.io/acme/web'])
})

test('a quota holds for what is fetched', async () => {
  const { layer } = await pushImage(cx, origin('a'), 'v1', layerOf(100_000))
  await using small = await startRig({
    quota: { total: 50_000 },
    upstreams: { client, from: [{ prefix: '', registry: upstream.server.host, path: '' }] },
  })
  await expect(small.open('a').open(cx, layer.what)).rejects.toMatchObject({ code: 'denied' })
  expect(await (await fetch(`${small.server.url}/metrics`)).text()).toContain('stave_registry_stored_bytes 0')
})
