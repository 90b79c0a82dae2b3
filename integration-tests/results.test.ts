/** What a build gives is what was asked for: its platform, its inputs, its times. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('results')
beforeAll(() => shop.must(['import', busyboxTar(), 'base']))
afterAll(() => shop[Symbol.dispose]())

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  for (const [name, content] of Object.entries({ Dockerfile: dockerfile, ...files })) writeFileSync(join(directory, name), content)
  return directory
}

interface Labelled {
  readonly entry: string
  readonly config: string
}

/** The platforms of the entries of an index, and of their configs. */
function platforms(dockerfile: string, asked: string): { readonly found: readonly Labelled[]; readonly stderr: string } {
  const dest = mkdtempSync(join(shop.directory, 'layout-'))
  const { status, stderr } = shop.stave([
    'build',
    '--platform',
    asked,
    '-o',
    `type=oci,tar=false,dest=${dest}`,
    context(dockerfile, { a: 'x' }),
  ])
  expect([status, stderr]).toEqual([0, expect.anything()])
  const read = ({ digest }: { digest: string }) => JSON.parse(readFileSync(join(dest, 'blobs/sha256', digest.slice(7)), 'utf8'))
  const [root] = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')).manifests
  const { manifests = [root] } = read(root)
  const found = manifests.map((entry: { digest: string; platform?: { os: string; architecture: string } }) => {
    const config = read(read(entry).config)
    return { entry: entry.platform?.architecture ?? config.architecture, config: config.architecture }
  })
  return { found, stderr }
}

describe('platforms', () => {
  test.each([
    ['FROM --platform=linux/amd64 scratch\nCOPY a /\n', 'linux/amd64,linux/arm64', ['amd64', 'arm64']],
    ['FROM --platform=$BUILDPLATFORM scratch\nCOPY a /\n', 'linux/arm64,linux/s390x', ['arm64', 's390x']],
    ['FROM --platform=$BUILDPLATFORM base\nCOPY a /\n', 'linux/amd64,linux/arm64', ['amd64', 'arm64']],
    ['FROM base\nCOPY a /\n', 'linux/amd64,linux/arm64', ['amd64', 'arm64']],
    ['FROM --platform=linux/arm64 scratch\nCOPY a /\n', 'linux/amd64', ['amd64']],
  ])('%j for %s', (dockerfile, asked, expected) => {
    const { found } = platforms(dockerfile, asked)
    expect(found).toEqual(expected.map((platform) => ({ entry: platform, config: platform })))
  })

  test('a base image of another platform is told of', () => {
    const { stderr } = platforms('FROM base\nCOPY a /\n', 'linux/arm64')
    expect(stderr).toMatch(/InvalidBaseImagePlatform: base is for linux\/amd64, and linux\/arm64 was expected/)
  })
})

describe('what RUN was given is in its key', () => {
  test('the content of what --volume binds, wherever it is', () => {
    for (const name of ['va', 'vb', 'vc']) mkdirSync(shop.path(name))
    for (const [name, text] of [
      ['va', 'one'],
      ['vb', 'two'],
      ['vc', 'one'],
    ] as const)
      writeFileSync(shop.path(name, 'f'), text)
    const directory = context('FROM base\nRUN cp /v/f /copy\n')
    const built = (name: string) => {
      const id = shop.must(['build', '-q', '-v', `${shop.path(name)}:/v:ro`, directory])
      return shop.must(['run', '--rm', id, 'cat', '/copy'])
    }
    expect(['va', 'vb', 'va'].map(built)).toEqual(['one', 'two', 'one'])
    expect(shop.stave(['build', '--progress', 'plain', '-v', `${shop.path('vc')}:/v:ro`, directory]).stderr).toContain('cached')
  })

  test('resolvers', () => {
    const directory = context('FROM base\nRUN cat /etc/resolv.conf > /copy\n')
    const built = (...flags: string[]) => shop.must(['run', '--rm', shop.must(['build', '-q', ...flags, directory]), 'cat', '/copy'])
    expect(built('--dns', '192.0.2.3')).toContain('192.0.2.3')
    expect(built('--dns', '192.0.2.4')).toContain('192.0.2.4')
  })
})

test('with a time of its own, what runs has the times of the layers', () => {
  const directory = context('FROM base\nRUN echo x > /made && mkdir /d\nCOPY Dockerfile /copied\nRUN touch /again\n')
  const id = shop.must(['build', '-q', '--source-date-epoch', '1000000000', directory])
  expect(shop.must(['run', '--rm', id, 'stat', '-c', '%Y', '/made', '/d', '/copied', '/again']).split('\n')).toEqual(
    Array(4).fill('1000000000'),
  )
  const container = shop.must(['create', id, 'true'])
  const listed = spawnSync('sh', ['-c', `${join(import.meta.dirname, '../bin/stave')} export ${container} | tar -tv --utc made`], {
    env: { PATH: process.env['PATH'], STAVE_ROOT: shop.store, HOME: shop.directory },
    encoding: 'utf8',
  })
  expect(listed.stdout).toContain('2001-09-09')
})

describe('modes of the context', () => {
  const build = (directory: string, ...flags: string[]) => shop.must(['build', '-q', ...flags, directory])
  const modes = (id: string, ...paths: string[]) => shop.must(['run', '--rm', id, 'stat', '-c', '%a', ...paths]).split('\n')

  test('are kept, also where all of it is private', () => {
    const directory = context('FROM base\nCOPY . /c\n', { id_rsa: 'k', program: 'p' })
    for (const [name, mode] of [
      ['id_rsa', 0o600],
      ['program', 0o700],
      ['Dockerfile', 0o600],
    ] as const)
      chmodSync(join(directory, name), mode)
    chmodSync(directory, 0o700)
    expect(modes(build(directory), '/c/id_rsa', '/c/program', '/c/Dockerfile')).toEqual(['600', '700', '600'])
    expect(modes(build(directory, '--mode-policy', 'git'), '/c/id_rsa', '/c/program')).toEqual(['644', '755'])
  })

  test('one file that is written under another umask changes nothing of the others', () => {
    const directory = context('FROM base\nCOPY a /a\nRUN cat /a\n', { a: 'x' })
    chmodSync(join(directory, 'a'), 0o600)
    const first = build(directory)
    writeFileSync(join(directory, 'other'), 'x', { mode: 0o644 })
    expect(build(directory)).toBe(first)
  })

  test('that change are told as such', () => {
    const directory = context('FROM base\nCOPY told /a\n', { told: 'x' })
    chmodSync(join(directory, 'told'), 0o644)
    build(directory)
    chmodSync(join(directory, 'told'), 0o600)
    expect(shop.stave(['build', '--explain', directory]).stderr).toMatch(/file told: mode 0?644 → 0?600/)
  })
})
