/** Where results are sent that is no regular file: what takes bytes gets them, and nothing is put in its place. */
import { spawn, spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('odd-places')
const isRoot = process.getuid?.() === 0

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  shop.must(['create', '--name', 'made', '--network', 'none', 'base', 'true'])
  mkdirSync(shop.path('context'))
  writeFileSync(shop.path('context/Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n')
})
afterAll(() => shop[Symbol.dispose]())

/** What writes one file, and how its name is given. */
const writers: readonly (readonly [string, (place: string) => readonly string[]])[] = [
  ['save', (place) => ['save', '-q', '-o', place, 'base']],
  ['save of an OCI archive', (place) => ['save', '-q', '--format', 'oci-archive', '-o', place, 'base']],
  ['copy to docker-archive:', (place) => ['copy', '-q', 'base', `docker-archive:${place}`]],
  ['copy to oci-archive:', (place) => ['copy', '-q', 'base', `oci-archive:${place}`]],
  ['build -o type=tar', (place) => ['build', '-q', '-o', `type=tar,dest=${place}`, 'context']],
  ['build -o type=oci', (place) => ['build', '-q', '-o', `type=oci,dest=${place}`, 'context']],
  ['build -o type=docker', (place) => ['build', '-q', '-t', 'x', '-o', `type=docker,dest=${place}`, 'context']],
  ['export', (place) => ['export', '-o', place, 'made']],
]

describe.each(writers)('%s', (_what, words) => {
  test('to a pipe', async () => {
    const pipe = shop.path('pipe')
    rmSync(pipe, { force: true })
    spawnSync('mkfifo', [pipe])
    const list = spawn('sh', ['-c', `tar -tf - < '${pipe}'`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let names = ''
    list.stdout.on('data', (chunk) => (names += String(chunk)))
    const ended = new Promise((resolve) => list.once('close', resolve))
    const written = shop.start(words(pipe), { cwd: shop.directory })
    expect(await new Promise((resolve) => written.once('close', resolve))).toBe(0)
    expect(await ended).toBe(0)
    expect(names).not.toBe('')
    expect(lstatSync(pipe).isFIFO()).toBe(true)
  })

  test.skipIf(!isRoot)('to device nodes, which stay', () => {
    for (const [name, minor] of [
      ['null', '3'],
      ['full', '7'],
    ] as const) {
      rmSync(shop.path(name), { force: true })
      spawnSync('mknod', [shop.path(name), 'c', '1', minor])
      const { status, stderr } = shop.stave(words(shop.path(name)))
      expect(lstatSync(shop.path(name)).isCharacterDevice()).toBe(true)
      if (name === 'null') expect(stderr).toBe('')
      else expect(stderr).toMatch(/ENOSPC|no space|full/i)
      expect(status).toBe(name === 'null' ? 0 : 1)
    }
  })

  test('to a link, which stays', () => {
    // Where it leads there is nothing yet: docker-archive: adds to nothing that is there.
    for (const name of ['real', 'link']) rmSync(shop.path(name), { force: true })
    symlinkSync('real', shop.path('link'))
    shop.must(words(shop.path('link')))
    expect(readlinkSync(shop.path('link'))).toBe('real')
    expect(readFileSync(shop.path('real')).length).toBeGreaterThan(512)
  })

  test('to a directory: refused', () => {
    mkdirSync(shop.path('directory'), { recursive: true })
    const { status, stderr } = shop.stave(words(shop.path('directory')))
    expect(stderr).toMatch(/^error: cannot .*directory/m)
    expect(status).toBe(1)
  })
})

describe('places that take no directories', () => {
  const none = '/proc/stave-none/deep'
  test.each([
    ['copy', '-q', 'base', `dir:${none}`],
    ['copy', '-q', 'base', `oci:${none}:1`],
    ['copy', '-q', 'base', `oci-archive:${none}`],
    ['copy', '-q', 'base', `docker-archive:${none}`],
    ['build', '-q', '-o', `type=local,dest=${none}`, 'context'],
    ['build', '-q', '-o', `type=tar,dest=${none}/x.tar`, 'context'],
    ['build', '-q', '-o', `type=oci,tar=false,dest=${none}`, 'context'],
    ['build', '-q', '--cache-to', `type=local,dest=${none}`, 'context'],
    ['serve', '--port', '0', '--directory', none],
    ['sync', '--src', 'docker', '--dest', 'dir', 'localhost:1/x', none],
    ['login', '--authfile', `${none}/auth.json`, '-u', 'u', '-p', 'p', 'localhost:1'],
    ['run', '--rm', '-v', `${none}:/x`, 'base', 'true'],
    ['--root', none, 'images'],
  ])('stave %j ends, and says why', (...words) => {
    const { status, stderr } = spawnSync('timeout', ['-k', '1', '60', `${process.cwd()}/bin/stave`, ...words], {
      cwd: shop.directory,
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
      encoding: 'utf8',
    })
    expect([1, 2, 125]).toContain(status)
    expect(stderr).toMatch(/^error: cannot/m)
    expect(stderr).not.toContain('fault of Stave')
  })
})

describe('names that lead nowhere', () => {
  const long = 'a'.repeat(5000)
  beforeAll(() => {
    writeFileSync(shop.path('file'), 'x')
    mkdirSync(shop.path('empty'))
    symlinkSync('loop', shop.path('loop'))
  })

  test.each([
    ...['loop', long, 'file/x', 'empty', 'file'].map((name) => ['load', '-i', name]),
    ...['loop', long, 'file/x', 'empty'].map((name) => ['import', name, 'x']),
    ...['loop', long, 'file/x'].flatMap((name) => [
      ['cp', 'made:/bin', name],
      ['export', '-o', name, 'made'],
      ['save', '-o', name, 'base'],
      ['copy', '-q', 'base', `dir:${name}`],
      ['copy', '-q', 'base', `oci:${name}:1`],
      ['copy', '-q', `oci:${name}:1`, 'x'],
      ['copy', '-q', `docker-archive:${name}`, 'x'],
      ['build', name],
      ['--root', name, 'images'],
    ]),
    ['serve', '--port', '99999'],
    ['serve', '--port', '0', '--tls-cert', 'file'],
    ['serve', '--port', '0', '--directory', 'file'],
    ['login', '-u', 'u', '-p', 'p', '--authfile', 'empty', 'localhost:1'],
    ['logout', '--authfile', 'file', 'localhost:1'],
  ])('stave %s %s says what it could not do', (...words) => {
    const { status, stderr } = shop.stave(words)
    expect([1, 2]).toContain(status)
    // Not what the operating system calls it, and no word of a fault of ours.
    expect(stderr).toMatch(/^error: cannot /m)
    expect(stderr).not.toContain('fault of stave')
    expect(stderr).not.toContain('exclude each other')
  })
})
