/** `stave copy` and `stave inspect` between places: what is copied whole, what is refused, and how scripts can tell. */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { sampleImage, sampleIndex } from '#image/testing.ts'
import { openLayout } from '#layout/layout.ts'
import { digestHex } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type RegistryClient } from '#registry/client/registry.ts'
import { serve, type RegistryServer, type ServedRequest } from '#registry/server/server.ts'
import { binary, workshop } from './stave.ts'

const shop = workshop('copy-places')
const client: RegistryClient = createRegistryClient({})
let server: RegistryServer
let requests: ServedRequest[] = []

interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

async function stave(...args: string[]): Promise<Ran> {
  try {
    const env = { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store }
    const { stdout, stderr } = await promisify(execFile)(binary, args, { env, cwd: shop.directory })
    return { status: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { status: code, stdout, stderr }
  }
}

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
