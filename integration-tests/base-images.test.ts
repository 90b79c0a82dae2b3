/** Base images: when they are looked up, what is left of them in the store, and by which names they are found. */
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { busyboxTar, embeddedRegistry, workshop, type Outcome } from './stave.ts'

const shop = workshop('base-images')
/** Where images are made that this store knows nothing of. */
const elsewhere = { store: shop.path('elsewhere') }
let registry: Awaited<ReturnType<typeof embeddedRegistry>>
let count = 0
let name: string

beforeAll(async () => {
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  shop.must(['import', '-q', busyboxTar(), 'busybox'], elsewhere)
  registry = await embeddedRegistry(shop)
})
afterAll(() => {
  registry.process.kill()
  shop[Symbol.dispose]()
})
beforeEach(() => {
  name = `${registry.host}/base${count++}:1`
})

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = shop.path(`context${count++}`)
  mkdirSync(directory)
  for (const [file, text] of Object.entries({ Dockerfile: dockerfile, ...files })) writeFileSync(join(directory, file), text)
  return directory
}

/** Puts another image under the name in the registry, for two platforms. */
function publish(version: string): void {
  const directory = context('FROM busybox\nARG V\nCOPY <<EOF /version\n$V\nEOF\n')
  shop.must(
    ['build', '-q', '--platform', 'linux/amd64,linux/arm64', '--build-arg', `V=${version}`, '-o', `type=registry,name=${name}`, directory],
    elsewhere,
  )
}

function build(dockerfile: string, ...flags: readonly string[]): Outcome {
  return shop.stave(['build', '--progress', 'plain', ...flags, context(dockerfile)])
}

/** Which version of the base a build saw. */
function seen(...flags: readonly string[]): string | undefined {
  const { status, stderr } = build(
    `FROM ${name}\nRUN echo seen $(cat /version)\n`,
    '-o',
    'type=cacheonly',
    '--no-cache-filter',
    '0',
    ...flags,
  )
  expect([status, stderr]).toEqual([0, expect.any(String)])
  return /seen (\w+)$/m.exec(stderr)?.[1]
}

const listed = (): string[] => shop.must(['images', '--format', '{{.Repository}}:{{.Tag}}']).split('\n')

describe('a base image that a build has fetched', () => {
  test('is listed, inspected, run and removed like one that was pulled; then it is looked up again', () => {
    publish('one')
    expect(seen()).toBe('one')
    expect(listed().filter((line) => line === name)).toHaveLength(1)
    expect(shop.must(['run', '--rm', '--pull', 'never', name, 'cat', '/version'])).toBe('one')
    publish('two')
    expect(seen()).toBe('one')
    expect(shop.must(['rmi', name])).toContain(`Untagged: ${name}`)
    expect(listed()).not.toContain(name)
    expect(seen()).toBe('two')
    expect(listed()).toContain(name)
    expect(shop.damage()).toEqual([])
  })
  test('also of a build that fails, and of COPY --from', () => {
    publish('one')
    expect(build(`FROM ${name}\nRUN false\n`).status).toBe(1)
    expect(listed()).toContain(name)
    shop.must(['rmi', name])
    expect(build(`FROM busybox\nCOPY --from=${name} /version /v\n`, '-o', 'type=cacheonly').status).toBe(0)
    expect(listed()).toContain(name)
  })
  test('is not listed where its layers were not needed: they are not here', () => {
    publish('unneeded')
    expect(build(`FROM ${name}\nLABEL a=b\n`, '-o', 'type=cacheonly').status).toBe(0)
    expect(listed()).not.toContain(name)
  })
  test('is the index: another platform of it is found', () => {
    publish('one')
    expect(seen()).toBe('one')
    const { status, stderr } = build(`FROM ${name}\nCOPY Dockerfile /\n`, '--platform', 'linux/arm64', '-t', 'arm')
    expect([status, stderr]).toEqual([0, expect.not.stringContaining('InvalidBaseImagePlatform')])
    expect(JSON.parse(shop.must(['inspect', 'arm']))).toMatchObject([{ Architecture: 'arm64' }])
    expect(seen('--pull=never')).toBe('one')
  })
})

describe('a tag is looked up', () => {
  test.each([
    [[], 'one'],
    [['--pull=missing'], 'one'],
    [['--no-cache', '--pull=missing'], 'one'],
    [['--pull=never'], 'one'],
    [['--no-cache'], 'two'],
    [['--pull'], 'two'],
    [['--pull=newer'], 'two'],
  ])('%j: %s', (flags, version) => {
    publish('one')
    expect(seen()).toBe('one')
    publish('two')
    expect(seen(...flags)).toBe(version)
    // What was found is what the name stands for from now on.
    expect(seen()).toBe(version)
    expect(listed().filter((line) => line === name)).toHaveLength(1)
  })
  test('not by --no-cache where the image under this name was made here', () => {
    publish('one')
    shop.must(['tag', 'busybox', name])
    const { status, stderr } = build(`FROM ${name}\nRUN test ! -e /version\n`, '--no-cache')
    expect([status, stderr]).toEqual([0, expect.any(String)])
  })
  test('and if the registry does not answer, --no-cache uses what is here, and says so', async () => {
    const other = await embeddedRegistry({ ...shop, path: () => shop.path('other') })
    name = `${other.host}/base:1`
    publish('one')
    expect(seen()).toBe('one')
    other.process.kill()
    await once(other.process, 'close')
    const flags = ['--no-cache', '--retry', '0', '-o', 'type=cacheonly']
    const { status, stderr } = build(`FROM ${name}\nRUN cat /version\n`, ...flags)
    expect([status, stderr]).toEqual([0, expect.stringMatching(/warning: cannot look for a newer .*: the one in the store is used/)])
    expect(build(`FROM ${name}\nRUN cat /version\n`, '--pull', ...flags).status).toBe(1)
  })
})

describe('FROM an id', () => {
  const id = (): string => (JSON.parse(shop.must(['inspect', 'busybox'])) as { Id: string }[])[0]!.Id

  test.each([
    ['in full', (full: string) => full],
    ['without its algorithm', (full: string) => full.slice(7)],
    ['as images shows it', (full: string) => full.slice(7, 19)],
    ['shortened, with its algorithm', (full: string) => full.slice(0, 17)],
  ])('%s', (_name, shorten) => {
    const written = shorten(id())
    const flags = ['--provenance=min', '-o', 'type=cacheonly', '--creds', 'u:p']
    const { status, stderr } = build(`FROM ${written}\nCOPY --from=${written} /bin/busybox /b\nRUN test -x /b\n`, ...flags)
    expect([status, stderr]).toEqual([0, expect.any(String)])
  })
  test.each([`sha256:${'0'.repeat(64)}`, '0'.repeat(64), 'sha256:00000000'])('%s is none that there is', (written) => {
    const { status, stderr } = build(`FROM ${written}\n`)
    expect([status, stderr]).toEqual([1, expect.stringMatching(/cannot find the image .*\n.*Dockerfile:1:/)])
    expect(stderr).toContain('stave images shows the ids')
  })
})

describe('localhost/NAME', () => {
  test('is what was built here as NAME, and the other way around', () => {
    shop.must(['build', '-q', '-t', 'mine', context('FROM busybox\nRUN echo mine > /who\n')])
    shop.must(['build', '-q', '-t', 'localhost/theirs:2', context('FROM busybox\nRUN echo theirs > /who\n')])
    for (const [written, who] of [
      ['localhost/mine', 'mine'],
      ['localhost/mine:latest', 'mine'],
      ['theirs:2', 'theirs'],
    ] as const) {
      expect(shop.must(['run', '--rm', '--pull', 'never', written, 'cat', '/who'])).toBe(who)
      expect(build(`FROM ${written}\nRUN test $(cat /who) = ${who}\n`, '-o', 'type=cacheonly')).toMatchObject({ status: 0 })
    }
  })
})

describe('an image for later processors', () => {
  test('is a base, and runs where the processor has the features', () => {
    shop.must(['build', '-q', '--platform', 'linux/amd64/v2', '-t', 'v2', context('FROM busybox\nRUN echo v2 > /v\n')])
    expect(shop.must(['run', '--rm', 'v2', 'cat', '/v'])).toBe('v2')
    expect(build('FROM v2\nRUN cat /v\n', '-o', 'type=cacheonly')).toMatchObject({ status: 0 })
    // In a registry, as the only entry of an index.
    shop.must([
      'build',
      '-q',
      '--platform',
      'linux/amd64/v2',
      '--build-arg',
      'BUILDKIT_MULTI_PLATFORM=1',
      '-o',
      `type=registry,name=${name}`,
      context('FROM v2\n'),
    ])
    expect(shop.must(['run', '--rm', name, 'cat', '/v'])).toBe('v2')
  })
})

test('an image for another platform alone can be inspected', () => {
  expect(build('FROM scratch\nCOPY Dockerfile /\nCMD x\n', '--platform', 'windows/amd64', '-t', 'foreign')).toMatchObject({ status: 0 })
  expect(JSON.parse(shop.must(['inspect', 'foreign']))).toMatchObject([{ Os: 'windows', Config: { Cmd: ['cmd', '/S', '/C', 'x'] } }])
  expect(shop.must(['history', 'foreign'])).toContain('CMD ["cmd" "/S" "/C" "x"]')
})

describe('--build-context', () => {
  test('docker-image://scratch is the empty image', () => {
    const dockerfile = 'FROM n\nCOPY Dockerfile /\n'
    expect(build(dockerfile, '--build-context', 'n=docker-image://scratch', '-t', 'scratched')).toMatchObject({ status: 0 })
    expect(JSON.parse(shop.must(['inspect', 'scratched']))[0].RootFS.Layers).toHaveLength(1)
    expect(build('FROM busybox\nCOPY --from=n / /all\n', '--build-context', 'n=docker-image://scratch')).toMatchObject({ status: 0 })
  })
})

test.each(['containers-storage', 'docker-daemon'])('FROM %s:NAME is the store, and no registry is asked', (transport) => {
  const built = shop.must(['build', '-q', context(`FROM ${transport}:busybox\nCOPY Dockerfile /\n`)])
  expect(built.trim()).toMatch(/^sha256:/)
})
