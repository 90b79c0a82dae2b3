import { execFile, execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { sampleImage, sampleIndex } from '#image/testing.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type Registry, type RegistryClient } from '#registry/client/registry.ts'
import { serve, type RegistryServer } from '#registry/server/server.ts'
import { dockerRegistry, has, type Running } from '../registry-tests/registries.ts'
import { type Outcome, workshop } from './stave.ts'

const shop = workshop('sync')
const client: RegistryClient = createRegistryClient({})
const open = (name: string): Registry => client.open(parseReference(name))
let from: RegistryServer
/** What `web` and `tools/web` of the source have, by tag. */
const digests: Record<string, string> = {}

const stave = (...args: string[]): Promise<Outcome> => shop.run(args)

/** skopeo's own, with plain HTTP and whole indexes. */
async function skopeo(...args: string[]): Promise<void> {
  const flags = ['--insecure-policy', 'sync', '--all', '--src-tls-verify=false', '--dest-tls-verify=false']
  await promisify(execFile)('skopeo', [...flags, ...args], { cwd: shop.directory })
}

async function tagsOf(name: string): Promise<Record<string, string>> {
  const registry = open(name)
  const tags = (await registry.listTags(cx)).sort()
  return Object.fromEntries(await Promise.all(tags.map(async (tag) => [tag, (await registry.resolve(cx, tag)).digest] as const)))
}

/** Every file below a directory, with its content. */
function filesOf(directory: string): Record<string, string> {
  const names = (readdirSync(directory, { recursive: true }) as string[]).sort()
  const files = names.filter((name) => statSync(join(directory, name)).isFile())
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(directory, name), 'latin1')]))
}

beforeAll(async () => {
  from = await serve({ directory: shop.path('from') })
  for (const tag of ['1.0', '1.1', '2.0-rc.1', 'latest']) {
    const image = await sampleImage(cx, { seed: tag, format: tag === '1.1' ? 'docker' : 'oci' })
    digests[tag] = (await copy(cx, image.source, image.descriptor, open(`${from.host}/web`), { name: tag })).digest
  }
  const index = await sampleIndex(cx, { seed: 'all' })
  digests['all'] = (await copy(cx, index.source, index.descriptor, open(`${from.host}/web`), { name: 'all' })).digest
  const other = await sampleImage(cx, { seed: 'other' })
  digests['other'] = (await copy(cx, other.source, other.descriptor, open(`${from.host}/tools/web`), { name: '1.0' })).digest
})

afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await from.close()
  shop[Symbol.dispose]()
})

const all = () => ({
  '1.0': digests['1.0'],
  '1.1': digests['1.1'],
  '2.0-rc.1': digests['2.0-rc.1'],
  all: digests['all'],
  latest: digests['latest'],
})

for (const kind of ['stave serve', 'docker-registry']) {
  if (kind === 'docker-registry' && !has('docker-registry')) {
    test.skip(`to docker-registry: skipped, because it is not installed`, () => {})
    continue
  }
  describe(`to ${kind}`, () => {
    let to: Running
    beforeAll(async () => {
      if (kind === 'docker-registry') to = await dockerRegistry()
      else {
        const server = await serve({ directory: shop.path('to') })
        to = { host: server.host, [Symbol.asyncDispose]: () => server.close() }
      }
    })
    afterAll(() => to[Symbol.asyncDispose]())

    test('--prune deletes the tags that the source does not have, as many as it may, and nothing else', async () => {
      const target = open(`${to.host}/pruned/web`)
      const words = ['sync', '--src', 'docker', '--dest', 'docker', '--state', `state-${to.host}`, `${from.host}/web`, `${to.host}/pruned`]
      expect((await stave(...words)).status).toBe(0)
      const old = await sampleImage(cx, { seed: 'old' })
      const signature = `${digests['1.0']!.replace(':', '-')}.sig`
      for (const name of ['old-1', 'old-2', signature]) await copy(cx, old.source, old.descriptor, target, { name })
      // A tag of what stays: its manifest must stay too.
      await target.name(cx, await target.resolve(cx, '1.0'), 'alias')
      const planned = await stave(...words, '--prune', '--dry-run')
      for (const tag of ['old-1', 'old-2', 'alias']) expect(planned.stderr).toContain(`would delete docker://${to.host}/pruned/web:${tag}`)
      const refused = await stave(...words, '--prune', '--prune-limit', '2')
      expect(refused.status).toBe(1)
      expect(refused.stderr).toContain('3 tags would be deleted')
      expect(Object.keys(await tagsOf(`${to.host}/pruned/web`))).toContain('old-1')
      expect((await stave(...words, '--prune')).status).toBe(0)
      expect(await tagsOf(`${to.host}/pruned/web`)).toEqual({ ...all(), [signature]: old.descriptor.digest })
      expect((await stave(...words.slice(0, -2), '--prune', `${from.host}/web:1.0`, `${to.host}/pruned`)).status).toBe(2)
    })

    test('all tags of a repository, with their bytes, once', async () => {
      const words = ['sync', '--src', 'docker', '--dest', 'docker', '--digestfile', 'digests', `${from.host}/web`, `${to.host}/mirror`]
      const first = await stave(...words)
      expect(first.stderr).toMatch(/synced 5 images in [\d.]+s: 5 copied, 0 there already\n$/)
      expect(first.status).toBe(0)
      expect(await tagsOf(`${to.host}/mirror/web`)).toEqual(all())
      const lines = readFileSync(shop.path('digests'), 'utf8').trim().split('\n').sort()
      expect(lines).toEqual(
        Object.entries(all())
          .map(([tag, digest]) => `${digest} docker://${to.host}/mirror/web:${tag}`)
          .sort(),
      )
      const second = await stave(...words)
      expect(second.stderr).toMatch(/synced 5 images in [\d.]+s: 0 copied, 5 there already\n$/)
    })

    test('one image, with a suffix', async () => {
      const { status } = await stave(
        'sync',
        '-q',
        '-s',
        'docker',
        '-d',
        'docker',
        '--append-suffix',
        '-copy',
        `${from.host}/web:1.0`,
        `${to.host}/one`,
      )
      expect(status).toBe(0)
      expect(await tagsOf(`${to.host}/one/web`)).toEqual({ '1.0-copy': digests['1.0'] })
    })

    test('one platform alone', async () => {
      const words = [
        'sync',
        '-q',
        '--json',
        '--all=false',
        '--src',
        'docker',
        '--dest',
        'docker',
        `${from.host}/web:all`,
        `${to.host}/platform`,
      ]
      const { stdout } = await stave(...words)
      const { images } = JSON.parse(stdout) as { images: { state: string; digest: string }[] }
      const index = JSON.parse(
        Buffer.concat(
          await Array.fromAsync(await open(`${from.host}/web`).open(cx, await open(`${from.host}/web`).resolve(cx, 'all'))),
        ).toString(),
      ) as {
        manifests: { digest: string; platform: { architecture: string } }[]
      }
      const mine = process.arch === 'x64' ? 'amd64' : process.arch
      expect(images).toMatchObject([
        { state: 'copied', digest: index.manifests.find(({ platform }) => platform.architecture === mine)!.digest },
      ])
    })

    test('what a list names', async () => {
      const list = `${from.host}:
  tls-verify: false
  images:
    tools/web: ["1.0"]
  images-by-tag-regex:
    web: ^2
`
      writeFileSync(shop.path('list.yml'), list)
      const clash = await stave('sync', '--src', 'yaml', '--dest', 'docker', 'list.yml', `${to.host}/list`)
      expect(clash.status).toBe(0)
      expect(await tagsOf(`${to.host}/list/web`)).toEqual({ '1.0': digests['other'], '2.0-rc.1': digests['2.0-rc.1'] })
      writeFileSync(shop.path('semver.yml'), `${from.host}: {images-by-semver: {web: ">= 1.1"}, imags: {}}`)
      const versions = await stave('sync', '--src', 'yaml', '--dest', 'docker', 'semver.yml', `${to.host}/semver`)
      expect(versions.stderr).toContain(`warning: semver.yml:1: ${from.host}: imags means nothing`)
      expect(await tagsOf(`${to.host}/semver/web`)).toEqual({ '1.1': digests['1.1'] })
    })

    test('through a directory, and nothing is lost on the way', async () => {
      expect((await stave('sync', '-q', '--src', 'docker', '--dest', 'dir', `${from.host}/web`, `usb-${to.host}`)).status).toBe(0)
      expect((await stave('sync', '-q', '--src', 'dir', '--dest', 'docker', `usb-${to.host}`, `${to.host}/carried`)).status).toBe(0)
      expect(await tagsOf(`${to.host}/carried/web`)).toEqual(all())
    })

    const skipped = has('skopeo') ? undefined : 'skipped, because skopeo is not installed'
    test.skipIf(skipped !== undefined)(`it has what skopeo makes of the same${skipped === undefined ? '' : `: ${skipped}`}`, async () => {
      const list = `${from.host}:\n  tls-verify: false\n  images: {tools/web: []}\n  images-by-tag-regex: {web: '-rc|^l'}\n`
      writeFileSync(shop.path('peer.yml'), list)
      const cases: (readonly [string, readonly string[]])[] = [
        ['repository', ['--src', 'docker', '--dest', 'docker', `${from.host}/web`]],
        ['nested', ['--src', 'docker', '--dest', 'docker', `${from.host}/tools/web`]],
        ['tag', ['--src', 'docker', '--dest', 'docker', `${from.host}/web:all`]],
        ['list', ['--src', 'yaml', '--dest', 'docker', 'peer.yml']],
      ]
      for (const [name, words] of cases) {
        await skopeo(...words, `${to.host}/skopeo/${name}`)
        expect(await stave('sync', '-q', ...words, `${to.host}/stave/${name}`)).toMatchObject({ status: 0, stderr: '' })
        const theirs = await tagsOf(`${to.host}/skopeo/${name}/web`)
        expect(Object.keys(theirs).length).toBeGreaterThan(0)
        expect([name, await tagsOf(`${to.host}/stave/${name}/web`)]).toEqual([name, theirs])
      }
    })
  })
}

test.skipIf(!has('skopeo'))('directories have the files that skopeo writes, and each reads those of the other', async () => {
  for (const scoped of [[], ['--scoped']]) {
    const place = (who: string) => shop.path(`${who}${scoped.length}`)
    await skopeo('--src', 'docker', '--dest', 'dir', ...scoped, `${from.host}/web`, place('skopeo'))
    expect((await stave('sync', '-q', '--src', 'docker', '--dest', 'dir', ...scoped, `${from.host}/web`, place('stave'))).status).toBe(0)
    expect(filesOf(place('stave'))).toEqual(filesOf(place('skopeo')))
  }
  await skopeo('--src', 'dir', '--dest', 'docker', shop.path('stave0'), `${from.host}/back/skopeo`)
  expect((await stave('sync', '-q', '--src', 'dir', '--dest', 'docker', shop.path('skopeo0'), `${from.host}/back/stave`)).status).toBe(0)
  const theirs = await tagsOf(`${from.host}/back/skopeo/web`)
  expect(theirs).toEqual(all())
  expect(await tagsOf(`${from.host}/back/stave/web`)).toEqual(theirs)
})

test('a directory whose image moved is brought up to date, and keeps nothing of the old one', async () => {
  const images = [await sampleImage(cx, { seed: 'before' }), await sampleImage(cx, { seed: 'after' })]
  const sync = () => stave('sync', '--src', 'docker', '--dest', 'dir', `${from.host}/moving:1`, 'moving')
  for (const image of images) {
    await copy(cx, image.source, image.descriptor, open(`${from.host}/moving`), { name: '1' })
    expect((await sync()).stderr).toContain('1 copied, 0 there already')
    expect((await sync()).stderr).toContain('0 copied, 1 there already')
    const blobs = [image.manifest.config, ...image.manifest.layers].map(({ digest }) => digest.slice('sha256:'.length))
    expect(readdirSync(shop.path('moving/moving:1')).sort()).toEqual([...new Set(blobs), 'manifest.json', 'version'].sort())
  }
})

test('a dry run says what would be done, and does nothing', async () => {
  const { status, stdout, stderr } = await stave(
    'sync',
    '--dry-run',
    '--src',
    'docker',
    '--dest',
    'dir',
    `${from.host}/tools/web`,
    'nowhere',
  )
  expect(status).toBe(0)
  expect(stdout).toBe(`docker://${from.host}/tools/web:1.0 dir:${shop.path('nowhere')}/web:1.0\n`)
  expect(stderr).toBe('would sync 1 image\n')
  expect(readdirSync(shop.directory)).not.toContain('nowhere')
})

test('an image that fails is named at the end; the others are there with --keep-going', async () => {
  const source = open(`${from.host}/broken`)
  const broken = await sampleImage(cx, { seed: 'broken' })
  const whole = await sampleImage(cx, { seed: 'whole' })
  await copy(cx, broken.source, broken.descriptor, source, { name: '1' })
  await copy(cx, whole.source, whole.descriptor, source, { name: '2' })
  await source.deleteBlob(cx, broken.manifest.config.digest)
  const words = ['--src', 'docker', '--dest', 'dir', `${from.host}/broken`]
  const going = await stave('sync', '--keep-going', ...words, 'kept')
  expect(going.status).toBe(1)
  expect(going.stderr).toContain(`error: cannot sync docker://${from.host}/broken:1 to dir:${shop.path('kept/broken:1')}`)
  expect(going.stderr).toMatch(/synced 1 image in [\d.]+s: 1 copied, 0 there already, 1 failed\n$/)
  expect((await stave('inspect', `dir:${shop.path('kept/broken:2')}`)).status).toBe(0)
  const stopping = await stave('sync', ...words, 'stopped')
  expect(stopping.status).toBe(1)
  expect(stopping.stderr).toContain(`error: cannot sync docker://${from.host}/broken:1`)
})

test.each<[string, string[], string]>([
  ['no --src', ['--dest', 'dir', 'a', 'b'], '--src is missing'],
  ['no --dest', ['--src', 'dir', 'a', 'b'], '--dest is missing'],
  ['two directories', ['--src', 'dir', '--dest', 'dir', 'a', 'b'], 'a directory is not synced to a directory'],
  ['a transport in an operand', ['--src', 'docker', '--dest', 'dir', 'docker://a', 'b'], '"docker://a" begins with a transport'],
  ['another transport', ['--src', 'oci', '--dest', 'dir', 'a', 'b'], '--src takes docker, dir or yaml'],
  ['two wishes', ['--src', 'docker', '--dest', 'dir', '--preserve-digests', '--format', 'oci', 'a', 'b'], 'exclude each other'],
])('%s: exit 2', async (_, words, message) => {
  const { status, stderr } = await stave('sync', ...words)
  expect(stderr).toContain(message)
  expect(status).toBe(2)
})

test('a directory without an image, a list that is not there', async () => {
  execFileSync('mkdir', ['-p', shop.path('empty/below')])
  const empty = await stave('sync', '--src', 'dir', '--dest', 'docker', 'empty', from.host)
  expect([empty.status, empty.stderr]).toEqual([1, expect.stringContaining('there is no image in it')])
  const missing = await stave('sync', '--src', 'yaml', '--dest', 'docker', 'none.yml', from.host)
  expect([missing.status, missing.stderr]).toEqual([1, expect.stringContaining('none.yml')])
  expect(missing.stderr).not.toContain('internal error')
})
