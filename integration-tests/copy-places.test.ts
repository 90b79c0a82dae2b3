/** `stave copy` and `stave inspect` between places: what is copied whole, what is refused, and how scripts can tell. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { makeIndex } from '#image/edit.ts'
import { sampleImage, sampleIndex } from '#image/testing.ts'
import { openLayout } from '#layout/layout.ts'
import { digestHex } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type RegistryClient } from '#registry/client/registry.ts'
import { serve, type RegistryServer, type ServedRequest } from '#registry/server/server.ts'
import { type Outcome, workshop } from './stave.ts'

const shop = workshop('copy-places')
const client: RegistryClient = createRegistryClient({})
let server: RegistryServer
let requests: ServedRequest[] = []

const stave = (...args: string[]): Promise<Outcome> => shop.run(args)

beforeAll(async () => {
  server = await serve({ directory: shop.path('registry'), onRequest: (request) => void requests.push(request) })
  const index = await sampleIndex(cx)
  await copy(cx, index.source, index.descriptor, client.open(parseReference(`${server.host}/web:1`)), { name: '1' })
})
afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await server.close()
  shop[Symbol.dispose]()
})

test('an index whose child is missing at the source is not copied', async () => {
  const index = await sampleIndex(cx)
  const path = shop.path('cut')
  await copy(cx, index.source, index.descriptor, await openLayout(path, { create: true }), { name: '1' })
  rmSync(`${path}/blobs/sha256/${digestHex(index.images[1]!.descriptor.digest)}`)
  for (const flags of [[], ['--all', '--preserve-digests']]) {
    const ran = await stave('copy', ...flags, `oci:${path}:1`, `docker://${server.host}/cut:1`)
    expect(ran.status).toBe(1)
    expect(ran.stderr).toContain(index.images[1]!.descriptor.digest)
  }
  expect((await stave('inspect', '--raw', `docker://${server.host}/cut:1`)).status).toBe(2)
  // Who asks for a platform that is there gets it.
  expect(await stave('copy', '--platform', 'linux/amd64', `oci:${path}:1`, `docker://${server.host}/cut:1`)).toMatchObject({ status: 0 })
})

test('several platforms make a smaller index, which is said; --sparse keeps the whole', async () => {
  const before = (await client.open(parseReference(`${server.host}/web:1`)).resolve(cx, '1')).digest
  const three = await sampleIndex(cx, { seed: 'three' })
  const source = shop.path('three')
  await copy(cx, three.source, three.descriptor, await openLayout(source, { create: true }), { name: '1' })
  const extra = await sampleImage(cx, { seed: 'extra', platform: { os: 'linux', architecture: 'riscv64' } })
  const layout = await openLayout(source)
  await copy(cx, extra.source, extra.descriptor, layout)
  const raw = JSON.parse(Buffer.from(three.raw).toString()) as { manifests: object[] }
  raw.manifests.push(extra.descriptor)
  const bytes = Buffer.from(JSON.stringify({ ...raw, annotations: { kept: 'yes' } }))
  const { digestOf } = await import('#oci/digest.ts')
  const root = { mediaType: three.descriptor.mediaType, digest: digestOf(bytes), size: bytes.length }
  await layout.write(
    cx,
    root,
    (async function* () {
      yield bytes
    })(),
  )
  await layout.name(cx, root, 'all')

  const flags = ['--platform', 'linux/amd64', '--platform', 'linux/riscv64']
  const ran = await stave('copy', ...flags, `oci:${source}:all`, `docker://${server.host}/small:1`)
  expect(ran.status).toBe(0)
  expect(ran.stderr).toContain(root.digest)
  const small = JSON.parse((await stave('inspect', '--raw', `docker://${server.host}/small:1`)).stdout) as {
    manifests: { platform: { architecture: string } }[]
    annotations: object
  }
  expect(small.manifests.map(({ platform }) => platform.architecture).sort()).toEqual(['amd64', 'riscv64', 'unknown'])
  expect(small.annotations).toEqual({ kept: 'yes' })
  const sparse = await stave('copy', '--sparse', ...flags, `oci:${source}:all`, `oci:${shop.path('sparse')}:1`)
  expect(sparse).toMatchObject({ status: 0, stdout: `${root.digest}\n` })
  expect((await stave('copy', '--preserve-digests', ...flags, `oci:${source}:all`, `docker://${server.host}/small:2`)).status).toBe(2)
  expect((await client.open(parseReference(`${server.host}/web:1`)).resolve(cx, '1')).digest).toBe(before)
})

test('a copy with nothing to do asks each end once, and pulls nothing', async () => {
  expect((await stave('copy', `docker://${server.host}/web:1`, `docker://${server.host}/twin:1`)).status).toBe(0)
  requests = []
  const again = await stave('copy', `docker://${server.host}/web:1`, `docker://${server.host}/twin:1`)
  expect(again.status).toBe(0)
  expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['HEAD /v2/twin/manifests/1', 'HEAD /v2/web/manifests/1'])
})

test("an archive of Docker's form that is there is not overwritten", async () => {
  const path = shop.path('there.tar')
  writeFileSync(path, 'precious')
  const ran = await stave('copy', '--platform', 'linux/amd64', `docker://${server.host}/web:1`, `docker-archive:${path}:web:1`)
  expect(ran.status).toBe(1)
  expect(ran.stderr).toContain('there already')
  expect(readFileSync(path, 'utf8')).toBe('precious')
})

test('no such image is status 2, as with skopeo', async () => {
  expect((await stave('copy', `docker://${server.host}/web:none`, `oci:${shop.path('none')}:1`)).status).toBe(2)
  expect((await stave('inspect', `docker://${server.host}/none:1`)).status).toBe(2)
})

test('an image that stands alone is inspected, whatever platform it is for', async () => {
  const image = await sampleImage(cx, { platform: { os: 'linux', architecture: 's390x' } })
  await copy(cx, image.source, image.descriptor, client.open(parseReference(`${server.host}/big:1`)), { name: '1' })
  const ran = await stave('inspect', `docker://${server.host}/big:1`)
  expect(JSON.parse(ran.stdout)).toMatchObject({ Architecture: 's390x' })
  expect((await stave('inspect', '--override-arch', 'arm64', `docker://${server.host}/big:1`)).status).toBe(1)
})

test('layouts share a directory of blobs', async () => {
  const place = `docker://${server.host}/web:1`
  expect(await stave('copy', '--dest-shared-blob-dir', 'shared', place, 'oci:one:1')).toMatchObject({ status: 0 })
  expect(readdirSync(shop.path('one/blobs'))).toEqual([])
  const before = readdirSync(shop.path('shared/sha256')).length
  expect(await stave('copy', '--dest-shared-blob-dir', 'shared', place, 'oci:two:1')).toMatchObject({ status: 0 })
  expect(readdirSync(shop.path('shared/sha256'))).toHaveLength(before)
  expect(await stave('copy', '--src-shared-blob-dir', 'shared', 'oci:one:1', 'oci:whole:1')).toMatchObject({ status: 0 })
  expect((await stave('image', 'validate', 'oci:whole:1')).stdout).toContain('is sound')
  expect((await stave('image', 'validate', 'oci:one:1')).status).toBe(1)
})

test('tarball: is an image of tars; transports that are not offered say what to do', async () => {
  const { tarOf } = await import('#image/testing.ts')
  const { gzipSync } = await import('node:zlib')
  writeFileSync(shop.path('one.tar'), await tarOf({ one: '1' }))
  writeFileSync(shop.path('two.tar.gz'), gzipSync(await tarOf({ two: '2' })))
  expect(await stave('copy', 'tarball:one.tar:two.tar.gz', `docker://${server.host}/tarball:1`)).toMatchObject({ status: 0 })
  expect((await stave('image', 'validate', `docker://${server.host}/tarball:1`)).stdout).toContain('is sound')
  expect((await stave('copy', 'one', 'tarball:three.tar')).status).toBe(2)
  for (const place of ['sif:image.sif', 'ostree:image']) {
    const { status, stderr } = await stave('copy', place, 'oci:never:1')
    expect(status).toBe(1)
    expect(stderr).toMatch(/is not offered[^]*hint/)
  }
})

test('--no-clobber keeps what has the name; --digest-tags brings what is named by a digest', async () => {
  const [one, two] = [await sampleImage(cx, { seed: 'one' }), await sampleImage(cx, { seed: 'two' })]
  const from = client.open(parseReference(`${server.host}/tagged:1`))
  await copy(cx, one.source, one.descriptor, from, { name: '1' })
  await copy(cx, two.source, two.descriptor, from, { name: `${one.descriptor.digest.replace(':', '-')}.sig` })
  await copy(cx, two.source, two.descriptor, from, { name: `sha256-${'0'.repeat(64)}.sig` })
  const place = (name: string) => `docker://${server.host}/${name}`
  expect(await stave('copy', '--digest-tags', place('tagged:1'), place('signed:1'))).toMatchObject({ status: 0 })
  expect((await client.open(parseReference(`${server.host}/signed`)).listTags(cx)).toSorted()).toEqual(
    ['1', `${one.descriptor.digest.replace(':', '-')}.sig`].toSorted(),
  )
  const kept = await stave('copy', '--no-clobber', place('web:1'), place('signed:1'))
  expect(kept).toMatchObject({ status: 1 })
  expect(kept.stderr).toContain(one.descriptor.digest)
  expect(await stave('copy', '-n', place('web:1'), place('fresh:1'))).toMatchObject({ status: 0 })
  expect(await stave('copy', '-n', place('web:1'), 'oci:clobber:1')).toMatchObject({ status: 0 })
  expect(await stave('copy', '-n', place('web:1'), 'oci:clobber:1')).toMatchObject({ status: 1 })
})

test('skopeo’s other ways to say who one is', async () => {
  const { serve: serveWith } = await import('#registry/server/server.ts')
  const guarded = await serveWith({ directory: shop.path('guarded'), auth: { kind: 'basic', users: { me: 'pass:word' } } })
  try {
    const [from, to] = [`docker://${server.host}/web:1`, `docker://${guarded.host}/web:1`]
    expect((await stave('copy', from, to)).status).toBe(1)
    expect(await stave('copy', '--dest-username', 'me', '--dest-password', 'pass:word', from, to)).toMatchObject({ status: 0 })
    expect(await stave('copy', '--screds', 'me:pass:word', to, 'oci:back:1')).toMatchObject({ status: 0 })
    expect(await stave('inspect', '--raw', '--username', 'me', '--password', 'pass:word', to)).toMatchObject({ status: 0 })
    expect((await stave('inspect', '--raw', '--username', 'me', to)).status).toBe(2)
    expect((await stave('inspect', '--raw', '--creds', 'me:x', '--registry-token', 'y', to)).status).toBe(2)
    expect((await stave('inspect', '--raw', '--registry-token', 'y', to)).status).toBe(1)
  } finally {
    await guarded.close()
  }
})

test('push of several platforms makes the smaller index and says so before; with --sparse the digest stays', async () => {
  const architectures = ['amd64', 'arm64', 'riscv64']
  const images = await Promise.all(
    architectures.map((architecture) => sampleImage(cx, { seed: `push-${architecture}`, platform: { os: 'linux', architecture } })),
  )
  const { source, descriptor } = makeIndex(images)
  await copy(cx, source, descriptor, client.open(parseReference(`${server.host}/several:1`)), { name: '1' })
  expect((await stave('pull', '-q', '--all-platforms', `${server.host}/several:1`)).status).toBe(0)

  const platforms = ['--platform', 'linux/amd64', '--platform', 'linux/riscv64']
  const pushed = await stave('push', ...platforms, `${server.host}/several:1`, `docker://${server.host}/pushed:1`)
  expect(pushed.status).toBe(0)
  expect(pushed.stderr).toMatch(new RegExp(`${descriptor.digest}.*which has another digest`))
  const raw = await stave('inspect', '--raw', `docker://${server.host}/pushed:1`)
  const small = JSON.parse(raw.stdout) as { manifests: { digest: string }[] }
  expect(small.manifests.map(({ digest }) => digest)).toEqual([images[0]!.descriptor.digest, images[2]!.descriptor.digest])

  const sparse = await stave('push', '-q', ...platforms, '--sparse', `${server.host}/several:1`, `oci:${shop.path('sparse')}:1`)
  expect(sparse.status).toBe(0)
  expect((await stave('image', 'digest', `oci:${shop.path('sparse')}:1`)).stdout.trim()).toBe(descriptor.digest)
})
