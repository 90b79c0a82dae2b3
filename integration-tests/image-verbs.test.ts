/** Verbs that look at images and make others of them, wherever they lie: as crane, regctl, docker manifest and buildx imagetools do. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { openImage } from '#image/image.ts'
import { sampleImage, sampleIndex } from '#image/testing.ts'
import { validate } from '#image/validate.ts'
import type { ImageConfig } from '#oci/config.ts'
import { parsePlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type Registry, type RegistryClient } from '#registry/client/registry.ts'
import { serve, type RegistryServer, type ServedRequest } from '#registry/server/server.ts'
import { type Outcome, workshop } from './stave.ts'

const shop = workshop('image-verbs')
const client: RegistryClient = createRegistryClient({})
let server: RegistryServer
let requests: ServedRequest[] = []

const stave = (...args: string[]): Promise<Outcome> => shop.run(args)

async function must(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await stave(...args)
  expect(status === 0 ? 0 : `${status}: ${stderr}`).toBe(0)
  return stdout.trim()
}

const place = (name: string) => `docker://${server.host}/${name}`
const open = (name: string): Registry => client.open(parseReference(`${server.host}/${name}`))
const fresh = (name: string): Registry => open(name)

async function configAt(name: string, tag: string, platform = 'linux/amd64'): Promise<ImageConfig> {
  const registry = fresh(name)
  const image = await openImage(cx, registry, await registry.resolve(cx, tag), parsePlatform(platform))
  expect(await validate(cx, image)).toEqual([])
  return image.config(cx)
}

interface IndexDocument {
  readonly manifests: readonly { readonly digest: string; readonly platform?: object; readonly annotations?: Record<string, string> }[]
}

const indexAt = async (name: string): Promise<IndexDocument> => JSON.parse(await must('manifest', 'get', place(name))) as IndexDocument

/** A tar with these files, as a person has one. */
function tarOf(name: string, files: Readonly<Record<string, string>>): string {
  const root = shop.path(`${name}.d`)
  mkdirSync(root, { recursive: true })
  for (const [file, text] of Object.entries(files)) writeFileSync(`${root}/${file}`, text)
  const path = shop.path(name)
  expect(spawnSync('tar', ['--owner=0', '--group=0', name.endsWith('.gz') ? '-czf' : '-cf', path, '-C', root, '.']).status).toBe(0)
  return path
}

beforeAll(async () => {
  server = await serve({ directory: shop.path('registry'), onRequest: (request) => void requests.push(request) })
})
beforeEach(() => void (requests = []))
afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await server.close()
  shop[Symbol.dispose]()
})

test('mutate changes each image of an index, and moves no layer', async () => {
  const index = await sampleIndex(cx, { seed: 'mutate' })
  await copy(cx, index.source, index.descriptor, open('mutate'), { name: '1' })
  requests = []
  const flags = [
    '--label',
    'release=1',
    '--env',
    'A=b=c',
    '--entrypoint',
    '["/a", "b c"]',
    '--user',
    '1000',
    '--exposed-ports',
    '80,53/udp',
  ]
  const digest = await must('image', 'mutate', place('mutate:1'), '-t', place('mutate:2'), '--change', 'STOPSIGNAL SIGINT', ...flags)
  expect((await fresh('mutate').resolve(cx, '2')).digest).toBe(digest)
  const layers = index.images.flatMap(({ manifest }) => manifest.layers.map((layer) => layer.digest))
  expect(requests.filter(({ path, method }) => method === 'GET' && layers.some((layer) => path.includes(layer)))).toEqual([])
  for (const platform of ['linux/amd64', 'linux/arm64']) {
    const { config } = await configAt('mutate', '2', platform)
    expect(config).toMatchObject({
      Labels: { release: '1' },
      Entrypoint: ['/a', 'b c'],
      User: '1000',
      StopSignal: 'SIGINT',
      ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    })
    expect(config?.Env).toContain('A=b=c')
    expect(config?.Cmd).toBeUndefined()
  }
  // What it was is there still, and undoing gives the same environment again.
  expect((await fresh('mutate').resolve(cx, '1')).digest).toBe(index.descriptor.digest)
  await must('mutate', place('mutate:2'), '-t', place('mutate:3'), '--unsetenv', 'A', '--unsetlabel', 'release')
  const { config } = await configAt('mutate', '3')
  expect(config?.Env ?? []).not.toContain('A=b=c')
  expect(config?.Labels ?? {}).not.toHaveProperty('release')
})

test('without a target the result goes to the same repository, by its digest', async () => {
  const image = await sampleImage(cx, { seed: 'by-digest' })
  await copy(cx, image.source, image.descriptor, open('by-digest'), { name: '1' })
  const digest = await must('image', 'mutate', place('by-digest:1'), '--label', 'a=b')
  expect((await fresh('by-digest').resolve(cx, digest)).digest).toBe(digest)
  expect(await fresh('by-digest').listTags(cx)).toEqual(['1'])
  expect(await stave('image', 'mutate', 'somewhere', '--label', 'a=b')).toMatchObject({ status: 2 })
  expect(await stave('image', 'mutate', place('by-digest:1'), '--exposed-ports', 'http')).toMatchObject({ status: 2 })
})

test('attestations of what was changed are left out, and that is said', async () => {
  const image = await sampleImage(cx, { seed: 'attested' })
  const about = await sampleImage(cx, { seed: 'about' })
  const repository = open('attested')
  for (const { source, descriptor } of [image, about]) await copy(cx, source, descriptor, repository)
  const document = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { ...image.descriptor, platform: { os: 'linux', architecture: 'amd64' } },
      {
        ...about.descriptor,
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image.descriptor.digest },
      },
    ],
    annotations: { kept: 'yes' },
  })
  writeFileSync(shop.path('attested.json'), document)
  await must('manifest', 'put', `${server.host}/attested:1`, shop.path('attested.json'))
  const ran = await stave('image', 'mutate', place('attested:1'), '--label', 'a=b', '-t', place('attested:2'))
  expect(ran).toMatchObject({ status: 0 })
  expect(ran.stderr).toContain('attestations')
  expect(await indexAt('attested:2')).toMatchObject({ manifests: [{ platform: { architecture: 'amd64' } }], annotations: { kept: 'yes' } })
  // An entry that goes takes its attestation along.
  await must('index', 'remove', place('attested:1'), image.descriptor.digest, '-t', place('attested:3'))
  expect((await indexAt('attested:3')).manifests).toEqual([])
})

test('append puts layers of tar files on a base, or makes an image of them', async () => {
  const plain = tarOf('plain.tar', { one: 'one\n' })
  const gzipped = tarOf('gzipped.tar.gz', { two: 'two\n' })
  await must('append', '-f', plain, '-f', gzipped, '-t', place('append:1'), '--platform', 'linux/arm64')
  const { rootfs, architecture } = await configAt('append', '1', 'linux/arm64')
  expect([rootfs.diff_ids.length, architecture]).toEqual([2, 'arm64'])
  const more = tarOf('more.tar', { three: 'three\n' })
  await must('image', 'append', '--base', place('append:1'), more, '-t', 'oci:appended:1')
  expect(await must('image', 'validate', 'oci:appended:1')).toContain('is sound')
  writeFileSync(shop.path('text'), 'x'.repeat(2000))
  expect((await stave('append', '-f', shop.path('text'), '-t', place('append:2'))).stderr).toContain('no tar')
  expect((await stave('append', '-f', shop.path('nothing'), '-t', place('append:2'))).stderr).toContain('nothing')
})

test('flatten makes one layer, and export a tar, of what is left of all', async () => {
  const first = tarOf('first.tar', { kept: 'old\n', gone: 'gone\n' })
  const second = tarOf('second.tar', { kept: 'new\n', '.wh.gone': '' })
  await must('append', '-f', first, '-f', second, '-t', place('flat:1'))
  await must('image', 'flatten', place('flat:1'), '-t', place('flat:2'))
  expect((await configAt('flat', '2')).rootfs.diff_ids).toHaveLength(1)
  for (const tag of ['1', '2']) {
    await must('image', 'export', place(`flat:${tag}`), `${tag}.tar`)
    const listed = spawnSync('tar', ['-tf', shop.path(`${tag}.tar`)], { encoding: 'utf8' }).stdout
    expect(listed).toMatch(/(^|\n)(\.\/)?kept\n/)
    expect(listed).not.toContain('gone')
    expect(spawnSync('tar', ['-xOf', shop.path(`${tag}.tar`), '--wildcards', '*kept'], { encoding: 'utf8' }).stdout).toBe('new\n')
  }
  // What was brought into the store for that is not in it now.
  expect(await must('images', '-q')).toBe('')
})

test('rebase puts an image on another base, and check-base tells when it is time', async () => {
  const base = tarOf('base.tar', { base: '1\n' })
  const newer = tarOf('newer.tar', { base: '2\n' })
  const site = tarOf('site.tar', { site: 'site\n' })
  await must('append', '-f', base, '-t', place('base:1'))
  const before = await must('image', 'digest', place('base:1'))
  await must('append', '-b', place('base:1'), '-f', site, '-t', place('site:1'))
  const name = ['--annotation', `org.opencontainers.image.base.name=${server.host}/base:1`]
  const digest = ['--annotation', `org.opencontainers.image.base.digest=${before}`]
  await must('mutate', place('site:1'), ...name, ...digest, '--cmd', '/site', '-t', place('site:1'))
  expect(await must('image', 'check-base', place('site:1'))).toContain('is current')

  await must('append', '-f', newer, '-t', place('base:1'))
  expect(await stave('image', 'check-base', place('site:1'))).toMatchObject({ status: 1 })
  expect(await stave('image', 'check-base', '--base', place('base:1'), place('site:1'))).toMatchObject({ status: 1 })
  requests = []
  await must('rebase', place('site:1'), '-t', place('site:2'))
  expect(await must('image', 'check-base', place('site:2'))).toContain('is current')
  const [old, rebased] = [await configAt('site', '1'), await configAt('site', '2')]
  expect(rebased.config?.Cmd).toEqual(['/site'])
  expect(rebased.rootfs.diff_ids[0]).not.toBe(old.rootfs.diff_ids[0])
  expect(rebased.rootfs.diff_ids[1]).toBe(old.rootfs.diff_ids[1])
  expect(rebased.history).toHaveLength(2)

  const wrong = await stave('rebase', place('site:2'), '--old-base', `${place('base')}@${before}`, '--new-base', place('base:1'))
  expect(wrong).toMatchObject({ status: 1 })
  expect(wrong.stderr).toContain('does not begin with')
})

test('an index is made of images, changed, and listed', async () => {
  const amd64 = await sampleImage(cx, { seed: 'a', platform: { os: 'linux', architecture: 'amd64' } })
  const arm64 = await sampleImage(cx, { seed: 'b', platform: { os: 'linux', architecture: 'arm64' } })
  const riscv64 = await sampleImage(cx, { seed: 'c', platform: { os: 'linux', architecture: 'riscv64' } })
  await copy(cx, amd64.source, amd64.descriptor, open('machine-a'), { name: '1' })
  await copy(cx, arm64.source, arm64.descriptor, open('machine-b'), { name: '1' })
  await copy(cx, riscv64.source, riscv64.descriptor, open('machine-c'), { name: '1' })
  const digest = await must(
    'index',
    'create',
    place('joined:1'),
    place('machine-a:1'),
    '--ref',
    place('machine-b:1'),
    '--annotation',
    'a=b',
  )
  expect(await must('image', 'validate', place('joined:1'))).toBe(`${digest} is sound`)
  const digests = async (name: string) => (await indexAt(name)).manifests.map((entry) => entry.digest).toSorted()
  const sorted = (...images: readonly { descriptor: { digest: string } }[]) => images.map(({ descriptor }) => descriptor.digest).toSorted()
  expect(await digests('joined:1')).toEqual(sorted(amd64, arm64))

  await must('index', 'add', place('joined:1'), place('machine-c:1'))
  expect(await digests('joined:1')).toEqual(sorted(amd64, arm64, riscv64))
  await must('index', 'filter', place('joined:1'), '--platform', 'linux/arm64,linux/riscv64', '-t', place('few:1'))
  expect(await digests('few:1')).toEqual(sorted(arm64, riscv64))
  await must('index', 'remove', place('joined:1'), '--platform', 'linux/arm64')
  expect(await digests('joined:1')).toEqual(sorted(amd64, riscv64))
  expect(await indexAt('joined:1')).toMatchObject({ annotations: { a: 'b' } })
  expect((await must('index', 'list', place('joined:1'))).split('\n')).toHaveLength(3)
  // Of an index among the sources, all that it has.
  await must('index', 'create', 'oci:joined:1', place('joined:1'), place('machine-b:1'))
  expect(await must('image', 'validate', 'oci:joined:1')).toContain('is sound')
  expect((JSON.parse(await must('index', 'ls', '--json', 'oci:joined:1')) as unknown[]).length).toBe(3)

  expect(await stave('index', 'add', place('machine-a:1'), place('machine-b:1'))).toMatchObject({ status: 2 })
  expect(await stave('index', 'remove', place('joined:1'), '--platform', 'linux/s390x')).toMatchObject({ status: 1 })
  expect(await stave('index', 'list', place('joined:nothing'))).toMatchObject({ status: 2 })
})

test('docker manifest: a list is made here and pushed when it is complete, without its images coming here', async () => {
  const amd64 = await sampleImage(cx, { seed: 'x', platform: { os: 'linux', architecture: 'amd64' } })
  const arm = await sampleImage(cx, { seed: 'y', platform: { os: 'linux', architecture: 'arm64' } })
  await copy(cx, amd64.source, amd64.descriptor, open('list'), { name: '1-amd64' })
  await copy(cx, arm.source, arm.descriptor, open('elsewhere'), { name: '1-arm' })
  const [list, one, two] = [`${server.host}/list:1`, `${server.host}/list:1-amd64`, `${server.host}/elsewhere:1-arm`]
  requests = []
  await must('manifest', 'create', '--insecure', list, one)
  expect(await stave('manifest', 'create', list, one)).toMatchObject({ status: 1 })
  await must('manifest', 'create', '--amend', list, two)
  await must('manifest', 'annotate', list, two, '--variant', 'v8', '--annotation', 'a=b')
  expect(requests.filter(({ path }) => amd64.manifest.layers.some(({ digest }) => path.includes(digest)))).toEqual([])
  const shown = JSON.parse(await must('manifest', 'inspect', list)) as IndexDocument
  expect(shown.manifests).toMatchObject([
    { digest: amd64.descriptor.digest, platform: { architecture: 'amd64' } },
    { digest: arm.descriptor.digest, platform: { architecture: 'arm64', variant: 'v8' }, annotations: { a: 'b' } },
  ])
  expect(shown.manifests[0]!.annotations).toBeUndefined()
  await must('manifest', 'exists', list)
  const digest = await must('manifest', 'push', '--purge', list)
  expect(await stave('manifest', 'exists', list)).toMatchObject({ status: 1 })
  expect(await must('image', 'validate', place('list:1'))).toBe(`${digest} is sound`)
  expect(await indexAt('list:1')).toEqual(shown)
  // Not a list here any more: the registry is asked.
  expect(JSON.parse(await must('manifest', 'inspect', list))).toEqual(shown)
  expect(await stave('manifest', 'push', list)).toMatchObject({ status: 1 })

  await must('manifest', 'create', list, one, two)
  await must('manifest', 'remove', list, arm.descriptor.digest)
  expect((JSON.parse(await must('manifest', 'inspect', list)) as IndexDocument).manifests).toHaveLength(1)
  await must('manifest', 'rm', list)
})

test('buildx imagetools: create joins, inspect shows', async () => {
  const amd64 = await sampleImage(cx, { seed: 'p', platform: { os: 'linux', architecture: 'amd64' } })
  const arm64 = await sampleImage(cx, { seed: 'q', platform: { os: 'linux', architecture: 'arm64' } })
  await copy(cx, amd64.source, amd64.descriptor, open('tools'), { name: 'a' })
  await copy(cx, arm64.source, arm64.descriptor, open('tools'), { name: 'b' })
  const name = (tag: string) => `${server.host}/tools:${tag}`
  const dry = JSON.parse(await must('buildx', 'imagetools', 'create', '--dry-run', name('a'), name('b'))) as IndexDocument
  expect(dry.manifests).toHaveLength(2)
  await must('buildx', 'imagetools', 'create', '-t', name('both'), '-t', name('also'), name('a'))
  await must('buildx', 'imagetools', 'create', '--append', '-t', name('both'), name('b'))
  expect(await indexAt('tools:both')).toEqual(dry)
  expect((await indexAt('tools:also')).manifests).toHaveLength(1)
  const text = await must('buildx', 'imagetools', 'inspect', name('both'))
  expect(text).toContain(`Name:      ${name('both')}`)
  expect(text).toContain('Platform:    linux/arm64')
  expect(JSON.parse(await must('buildx', 'imagetools', 'inspect', '--raw', name('both')))).toEqual(dry)
  const template = await must('buildx', 'imagetools', 'inspect', '--format', '{{.Manifest.Digest}}', name('both'))
  expect(template).toMatch(/^sha256:/)
})
