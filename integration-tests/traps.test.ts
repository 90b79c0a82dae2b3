/**
 * Those of the twenty things that builders get wrong which show in files only: built, and looked at in a container.
 * The others are in `src/dockerfile/traps.test.ts`, with the same numbers.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop, type Outcome } from './stave.ts'

const shop = workshop('traps')
let count = 0

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  const passwd = 'root:x:0:0::/root:/bin/sh\\napp:x:1000:1001::/:/bin/sh\\n'
  shop.must(['build', '-q', '-t', 'base', '-'], { input: `FROM busybox\nRUN printf '${passwd}' > /etc/passwd\n` })
})
afterAll(() => shop[Symbol.dispose]())

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  for (const [name, text] of Object.entries({ ...files, Dockerfile: dockerfile })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

function build(directory: string, ...flags: readonly string[]): Outcome & { readonly name: string } {
  const name = `trap-${count++}`
  return { ...shop.stave(['build', '-q', '-t', name, ...flags, directory]), name }
}

/** Builds a Dockerfile, and runs a shell on the result. @returns its lines */
function lines(script: string, dockerfile: string, files: Readonly<Record<string, string>> = {}, ...flags: readonly string[]): string[] {
  const built = build(context(dockerfile, files), ...flags)
  expect(built).toMatchObject({ status: 0 })
  return shop.must(['run', '--rm', '--network', 'none', '--entrypoint', 'sh', built.name, '-c', script]).split('\n')
}

describe('trap 7: a directory stands for what is in it', () => {
  const files = { 'd/one': '1', 'd/sub/two': '2', 'e/three': '3', four: '4' }

  test('COPY dir /x', () => {
    expect(lines('cd /x && find . | sort', 'FROM base\nCOPY d /x\n', files)).toEqual(['.', './one', './sub', './sub/two'])
  })
  test('COPY * /x/ lays the contents of all directories beside each other', () => {
    expect(lines('cd /x && find . | sort', 'FROM base\nCOPY * /x/\n', files)).toEqual([
      '.',
      './Dockerfile',
      './four',
      './one',
      './sub',
      './sub/two',
      './three',
    ])
  })
})

test('trap 8: a link in the destination is followed, inside the image', () => {
  const dockerfile =
    'FROM base\nRUN mkdir /real /etc/own && ln -s /real /link && ln -s ../../../../etc/own /up\nCOPY f /link/\nCOPY f /up/\n'
  expect(lines('readlink /link; readlink /up; find /real /etc/own -type f', dockerfile, { f: 'x' })).toEqual([
    '/real',
    '../../../../etc/own',
    '/real/f',
    '/etc/own/f',
  ])
})

describe('trap 9: a source that is not there', () => {
  test('a wildcard that matches nothing is a warning', () => {
    const built = shop.stave(['build', '--progress', 'plain', '-t', 'none', context('FROM base\nCOPY f *.none /x/\n', { f: 'x' })])
    expect(built.status).toBe(0)
    expect(built.stderr).toMatch(/warning: .*\*\.none/)
    expect(shop.must(['run', '--rm', '--network', 'none', 'none', 'ls', '/x'])).toBe('f')
  })
  test('a name that is not there is an error', () => {
    const built = build(context('FROM base\nCOPY f none /x/\n', { f: 'x' }))
    expect([built.status, built.stderr]).toEqual([1, expect.stringMatching(/^error: .*"none"/)])
  })
})

test('trap 10: ADD knows an archive by what is in it; what is compressed and no archive is copied', () => {
  const directory = context('FROM base\nADD plain.txt /unpacked/\nADD notes.tar.gz /copied/\n', { 'd/inside': 'x' })
  spawnSync('tar', ['-czf', join(directory, 'plain.txt'), '-C', join(directory, 'd'), 'inside'])
  const packed = spawnSync('gzip', ['-c'], { input: 'notes' }).stdout
  writeFileSync(join(directory, 'notes.tar.gz'), packed)
  const { name, status } = build(directory)
  expect(status).toBe(0)
  const found = shop.must(['run', '--rm', '--network', 'none', name, 'sh', '-c', 'ls /unpacked /copied; gunzip -c /copied/notes.tar.gz'])
  expect(found.split('\n')).toEqual(['/copied:', 'notes.tar.gz', '', '/unpacked:', 'inside', 'notes'])
})

test('trap 12: WORKDIR makes its directories for the user of the moment', () => {
  const dockerfile = 'FROM base\nWORKDIR /root-owned\nUSER app\nWORKDIR /made/by/app\nUSER 7:8\nWORKDIR /made/by/seven\n'
  expect(lines('stat -c "%n %u:%g" /root-owned /made /made/by/app /made/by/seven', dockerfile)).toEqual([
    '/root-owned 0:0',
    '/made 1000:1001',
    '/made/by/app 1000:1001',
    '/made/by/seven 7:8',
  ])
})

test('trap 13: ENTRYPOINT takes an inherited CMD away, and not one of its own stage', () => {
  const configOf = (dockerfile: string): unknown => {
    const { name } = build(context(dockerfile))
    const [{ Config }] = JSON.parse(shop.must(['inspect', name])) as [{ Config: { Cmd?: unknown; Entrypoint?: unknown } }]
    return [Config.Entrypoint ?? null, Config.Cmd ?? null]
  }
  expect(configOf('FROM base AS a\nCMD ["inherited"]\nFROM a\nENTRYPOINT ["e"]\n')).toEqual([['e'], null])
  expect(configOf('FROM base\nCMD ["own"]\nENTRYPOINT ["e"]\n')).toEqual([['e'], ['own']])
})

test('trap 17: nothing is left where a secret was', () => {
  writeFileSync(shop.path('secret'), 'hush')
  const dockerfile = [
    'FROM base',
    'RUN --mount=type=secret,id=s test -s /run/secrets/s',
    'RUN --mount=type=secret,id=s,target=/deep/in/here test -s /deep/in/here',
    '',
  ].join('\n')
  const { name, status } = build(context(dockerfile), '--secret', `id=s,src=${shop.path('secret')}`)
  expect(status).toBe(0)
  shop.must(['save', '-q', '--format', 'oci-archive', '-o', 'secret.tar', name])
  expect(readFileSync(shop.path('secret.tar')).includes('hush')).toBe(false)
  expect(shop.stave(['run', '--rm', '--network', 'none', name, 'ls', '-d', '/run', '/deep']).stdout).toBe('')
})

test('trap 18: what took the place of something else hides all of it', () => {
  const dockerfile = [
    'FROM base',
    'RUN mkdir -p /d/old /a && touch /d/old/x /a/x /f',
    'RUN rm -r /d && mkdir /d && touch /d/new && rm -r /a && touch /a && rm /f && mkdir /f && touch /f/x',
    '',
  ].join('\n')
  const directory = context(dockerfile)
  const { name, status } = build(directory)
  expect(status).toBe(0)
  // Unpacked from its layers, not from what the build left.
  shop.must(['save', '-q', '-o', 'hidden.tar', name])
  shop.must(['load', '-q', '-i', 'hidden.tar'], { store: shop.path('other') })
  const found = shop.must(['run', '--rm', '--network', 'none', name, 'find', '/d', '/a', '/f'], { store: shop.path('other') })
  expect(found.split('\n').sort()).toEqual(['/a', '/d', '/d/new', '/f', '/f/x'])
})

test('trap 19: a hard link to a file of an earlier layer is one with it, until either is written', () => {
  // As the overlay of every builder has it: what is written leaves its links.
  const dockerfile = 'FROM base\nRUN echo one > /a && ln /a /b\nRUN ln /a /c && test /a -ef /c\nRUN echo two >> /c\n'
  expect(lines('cat /a /b; cat /c; stat -c %h /a /c', dockerfile)).toEqual(['one', 'one', 'one', 'two', '2', '1'])
})

test('a link out of the context is not followed', () => {
  const directory = context('FROM base\nCOPY out /x\n')
  symlinkSync('/etc/hostname', join(directory, 'out'))
  expect(build(directory).status).toBe(1)
})
