/** Contexts and Dockerfiles that are hostile, enormous or odd: a correct build or a clear error, soon, and nothing beside it. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop, type Outcome } from './stave.ts'

const shop = workshop('bad-context')

beforeAll(() => {
  shop.must(['import', busyboxTar(), 'base'])
})
afterAll(() => shop[Symbol.dispose]())

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  chmodSync(directory, 0o755)
  for (const [name, content] of Object.entries({ Dockerfile: dockerfile, ...files })) writeFileSync(join(directory, name), content)
  return directory
}

/** Builds into a directory, and says what is in it. */
function build(directory: string, ...flags: readonly string[]): Outcome & { readonly files: readonly string[] } {
  const dest = mkdtempSync(join(shop.directory, 'out-'))
  const outcome = shop.stave(['build', '-q', '--output', `type=local,dest=${dest}`, ...flags, directory])
  // Node.js would follow links.
  const { stdout } = spawnSync('find', [dest, '-mindepth', '1', '-printf', '%P\\n'], { encoding: 'utf8' })
  return { ...outcome, files: stdout.split('\n').filter(Boolean).sort() }
}

function expectError(outcome: Outcome, ...said: (string | RegExp)[]): void {
  expect(outcome.stderr).toMatch(/^error: /m)
  expect(outcome.stderr).not.toMatch(/internal error|\n\s+at .*:\d+:\d+|undefined|\[object/)
  for (const text of said) expect(outcome.stderr).toMatch(text)
  expect(outcome.status).toBe(1)
}

describe('what is no ordinary file', () => {
  let directory: string
  beforeAll(async () => {
    directory = context('')
    mkdirSync(join(directory, 'd/sub'), { recursive: true })
    writeFileSync(join(directory, 'd/file'), 'x')
    symlinkSync('loop', join(directory, 'd/loop'))
    symlinkSync('../..', join(directory, 'd/sub/up'))
    symlinkSync('/etc/shadow', join(directory, 'd/out'))
    spawnSync('mkfifo', [join(directory, 'd/fifo')])
    // Node.js removes the socket as it closes it, so it stays open until the process ends.
    const server = createServer().unref()
    await new Promise<void>((resolve) => server.listen(join(directory, 'd/socket'), resolve))
  })
  const from = (instruction: string): string => {
    writeFileSync(join(directory, 'Dockerfile'), `FROM scratch\n${instruction}\n`)
    return directory
  }

  test('in a directory: pipes and links as they are, no sockets', () => {
    const { status, files } = build(from('COPY d /'))
    expect([status, files]).toEqual([0, ['fifo', 'file', 'loop', 'out', 'sub', 'sub/up']])
  })

  test('a loop of links does not catch what is walked', () => {
    expect(build(from('COPY --parents **/file /')).files).toEqual(['d', 'd/file'])
    expect(build(from('COPY d/sub/up/d/sub/up/d/file /')).files).toEqual(['file'])
  })

  test.each([
    ['COPY d/loop /', /too many symbolic links on the way to d\/loop/, /circle/],
    ['COPY d/socket /', /"d\/socket" is a socket/, /hint:/],
    ['COPY d/out /', /"d\/out": it is not in the build context/, /Dockerfile:2/],
  ])('named: %s', (instruction, ...said) => {
    expectError(build(from(instruction)), ...said)
  })
})

test.skipIf(process.getuid?.() !== 0)('a file that its user may not read is told by its name', () => {
  using users = workshop('bad-context-user', { uid: 65_534, gid: 65_534 })
  const directory = context('FROM scratch\nCOPY . /\n', { secret: 's' })
  chmodSync(shop.directory, 0o755)
  chmodSync(join(directory, 'secret'), 0o600)
  expectError(users.stave(['build', '-q', directory]), /secret/, /[Pp]ermission denied/)
  // What is not copied is not read.
  writeFileSync(join(directory, 'Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n')
  expect(users.stave(['build', '-q', directory])).toMatchObject({ status: 0 })
})

describe('enormous', () => {
  test('an ignore file with 10,000 patterns, some of which come back', () => {
    const patterns = Array.from({ length: 10_000 }, (_, i) => (i % 2 === 0 ? `**/dir${i}*/**/*.t?t` : `!dir${i}/keep`)).join('\n')
    const directory = context('FROM scratch\nCOPY . /\n', { '.dockerignore': `${patterns}\nDockerfile\n.dockerignore\n`, kept: 'k' })
    for (let i = 0; i < 200; i += 2) {
      mkdirSync(join(directory, `dir${i}`))
      writeFileSync(join(directory, `dir${i}/a.txt`), '')
    }
    const started = performance.now()
    const { status, files } = build(directory)
    expect([status, files.filter((path) => path.endsWith('.txt')), files.includes('kept')]).toEqual([0, [], true])
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  test('wildcards that explode', () => {
    const name = 'a'.repeat(200)
    const directory = context(`FROM scratch\nCOPY ${'*a'.repeat(100)}b ${'*'.repeat(100)}a /d/\n`, { [name]: 'x' })
    const started = performance.now()
    expect(build(directory)).toMatchObject({ status: 0, files: ['d', `d/${name}`] })
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  test('a line of 10 MB, and 100,000 instructions', () => {
    expectError(build(context(`FROM scratch\nRUN ${'a'.repeat(10_000_000)}\n`)), /line 2 is longer than 65535 bytes/, /Dockerfile:2/)
    // They parse, but no reader of images takes a history that is so long.
    expectError(
      build(context(`FROM scratch\n${'ENV a=1\n'.repeat(100_000)}`), '-t', 'many'),
      /history has 100000 elements, more than the 10000/,
    )
    const { status, stdout } = shop.stave(['build', '--print=instructions', context(`FROM scratch\n${'ENV a=1\n'.repeat(100_000)}`)])
    expect([status, JSON.parse(stdout).stages[0].instructions.length]).toEqual([0, 100_000])
  })
})

describe('graphs and secrets', () => {
  test.each([
    ['FROM scratch AS a\nCOPY --from=b /x /x\nFROM scratch AS b\nCOPY --from=a /x /x\n', /b/],
    ['FROM scratch AS a\nCOPY --from=a /x /x\n', /circular/],
    ['FROM base AS a\nRUN --mount=from=a,target=/x true\n', /circular/],
  ])('a stage that needs itself: %j', (dockerfile, said) => {
    expectError(build(context(dockerfile)), said, /Dockerfile:2/)
  })

  test('a secret that is required and missing, and one whose file is missing', () => {
    const directory = context('FROM base\nRUN --mount=type=secret,id=token,required cat /run/secrets/token\n')
    expectError(build(directory), /token/, /Dockerfile:2/, /hint:/)
    expectError(build(directory, '--secret', 'id=token,src=/nonexistent/file'), /\/nonexistent\/file/)
  })
})

describe('a checkout chooses no other file of this machine', () => {
  const names = ['Dockerfile', 'Containerfile', '.dockerignore', '.containerignore', 'Dockerfile.dockerignore']
  const linked = (name: string, target: string): string => {
    const directory = context('FROM scratch\nCOPY a /\n', { a: 'x' })
    if (name !== 'Containerfile' && name !== 'Dockerfile') symlinkSync(target, join(directory, name))
    else {
      rmSync(join(directory, 'Dockerfile'))
      symlinkSync(target, join(directory, name))
    }
    return directory
  }

  test.each(names)('%s as a link to /etc/shadow', (name) => {
    const outcome = build(linked(name, '/etc/shadow'))
    expectError(outcome, `cannot read`, 'leads out of the build context')
    expect(outcome.stderr).not.toContain('root:')
  })

  test.each(names)('%s as a link to a device without end', (name) => {
    expectError(build(linked(name, '/dev/zero')), 'leads out of the build context')
  })

  test.each(names)('%s as a pipe', (name) => {
    const directory = linked(name, 'nowhere')
    rmSync(join(directory, name))
    spawnSync('mkfifo', [join(directory, name)])
    expectError(build(directory), 'not a regular file')
  })

  test.each(names)('%s as a link within the context is read', (name) => {
    const directory = linked(name, 'real')
    writeFileSync(join(directory, 'real'), name.includes('ignore') ? 'nothing\n' : 'FROM scratch\nCOPY a /\n')
    expect(build(directory)).toMatchObject({ status: 0, files: ['a'] })
  })

  test('also where it is named with -f, and for stave check', () => {
    const directory = linked('Dockerfile', '/etc/shadow')
    for (const args of [
      ['build', '-f', join(directory, 'Dockerfile'), directory],
      ['check', directory],
      ['build', '--call=outline', directory],
    ]) {
      const outcome = shop.stave(args)
      expectError(outcome, 'leads out of the build context')
      expect(outcome.stderr).not.toContain('root:')
    }
  })

  test('what a person names outside of it may be a pipe', () => {
    const directory = context('', { a: 'x' })
    const dest = mkdtempSync(join(shop.directory, 'out-'))
    const script = `${binary} build -q --output type=local,dest=${dest} -f <(printf 'FROM scratch\\nCOPY a /\\n') ${directory}`
    const { status } = spawnSync('bash', ['-c', script], {
      env: { PATH: process.env['PATH'], STAVE_ROOT: shop.store, HOME: shop.directory },
    })
    expect(status).toBe(0)
  })
})
