/** Builds as a person or a pipeline sees them: a terminal, several processes, several users. */
import { spawn, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, ordinaryUser, workshop, type User } from './stave.ts'

const shop = workshop('build')
let count = 0

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
})
afterAll(() => {
  shop[Symbol.dispose]()
})

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = shop.path(`context${count++}`)
  mkdirSync(directory)
  for (const [name, text] of Object.entries({ ...files, Dockerfile: dockerfile })) writeFileSync(join(directory, name), text)
  return directory
}

const noScript = spawnSync('sh', ['-c', 'command -v script']).status === 0 ? '' : ' (skipped, because there is no script(1))'

describe.skipIf(noScript !== '')(`on a terminal${noScript}`, () => {
  /** Types the lines into the shell that opens. @returns what the terminal showed, and the exit status */
  async function typed(args: readonly string[], lines: readonly string[]): Promise<{ shown: string; status: number | null }> {
    const command = [binary, ...args].map((word) => `'${word}'`).join(' ')
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let shown = ''
    let sent = false
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk.toString()
      if (!sent && / # /.test(shown)) {
        sent = true
        child.stdin.write(lines.map((line) => `${line}\n`).join(''))
      }
    })
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { shown, status }
  }

  test('--debug: the state of the RUN that failed, with its mounts; what is changed there is thrown away', async () => {
    const directory = context(
      'FROM base\nENV A=1\nWORKDIR /w\nRUN --mount=type=cache,target=/c echo left > /x && echo kept > /c/f && false\n',
    )
    const { shown, status } = await typed(
      ['build', '--debug', directory],
      ['echo "[$(cat /x)] [$(cat /c/f)] [$A] [$(pwd)] [$(tty)]"; touch /thrown', 'exit 5'],
    )
    expect(shown).toMatch(/\[left\] \[kept\] \[1\] \[\/w\] \[\/dev\/(pts\/\d+|console)\]/)
    expect(shown).toContain('exit code 1')
    expect(status).toBe(1)
  })

  test('--until: a stage, and a line', async () => {
    const directory = context('FROM base AS one\nRUN echo 1 > /one\nRUN echo 2 > /two\nFROM base\nRUN false\n')
    const look = ['echo "[$(ls / | grep -E "one|two" | tr "\\n" " ")]"', 'exit']
    const stage = await typed(['build', '--debug', '--until', 'one', directory], look)
    expect(stage.shown).toContain('[one two ]')
    expect(stage.status).toBe(0)
    const line = await typed(['build', '--debug', '--until', '2', directory], look)
    expect(line.shown).toContain('[one ]')
  })
})

test('--debug without a terminal says so, and still what has failed', () => {
  const { status, stderr } = shop.stave(['build', '--debug', context('FROM base\nRUN echo the reason; false\n')])
  expect(status).toBe(1)
  expect(stderr).toContain('no terminal')
  expect(stderr).toMatch(/error: cannot run .*exit code 1/)
  expect(/hint: +stave logs (\w+)/.exec(stderr)?.[1]).toBeDefined()
  expect(shop.must(['logs', /stave logs (\w+)/.exec(stderr)![1]!])).toContain('the reason')
})

test('--verify-reproducible: the same, or the first file and field that differ', () => {
  const flags = ['build', '--source-date-epoch', '1000000000', '--verify-reproducible']
  const same = shop.stave([...flags, context('FROM base\nRUN echo 1 > /f\nCOPY g /\n', { g: 'g' })])
  expect(same).toMatchObject({ status: 0, stdout: expect.stringMatching(/^reproducible: sha256:/) })
  const other = shop.stave([...flags, context('FROM base\nRUN echo same > /same; cat /proc/sys/kernel/random/uuid > /differs\n')])
  expect(other.status).toBe(1)
  expect(other.stdout).toContain('not reproducible')
  expect(other.stdout).toMatch(/layer 2 \(RUN .*\): \/differs: content is \w+ and \w+/)
})

test('--print: what was parsed, would run, and the keys; nothing is executed and nothing is kept', () => {
  const directory = context('FROM base\nCOPY f /f\nRUN touch /ran\n', { f: 'x' })
  // Digests of the files that were looked at may be kept.
  const kept = (): unknown => ({ ...(JSON.parse(shop.must(['df', '--json'])) as object), cacheFiles: undefined })
  const before = kept()
  const printed = (what: string): string => shop.must(['build', `--print=${what}`, directory])
  expect(JSON.parse(printed('instructions'))).toMatchObject({ stages: [{ instructions: [{ kind: 'COPY' }, { kind: 'RUN' }] }] })
  const [plan] = JSON.parse(printed('plan')) as [{ steps: { op: { kind: string } }[] }]
  expect(plan.steps.map(({ op }) => op.kind)).toEqual(['image', 'local', 'copy', 'exec'])
  const keys = printed('keys')
  expect(printed('keys')).toBe(keys)
  expect(keys).toMatch(/"cached": ?false/)
  expect(kept()).toEqual(before)
})

test('several platforms: what is compiled for each of them on this machine', () => {
  const dockerfile = `FROM --platform=$BUILDPLATFORM base AS b
ARG TARGETPLATFORM TARGETARCH
RUN echo "$TARGETPLATFORM $TARGETARCH" > /o
FROM scratch
COPY --from=b /o /
`
  shop.must(['build', '-q', '--platform', 'linux/amd64,linux/arm64,linux/arm/v7', '-o', 'platforms', context(dockerfile)])
  const made = (platform: string): string => readFileSync(shop.path('platforms', platform, 'o'), 'utf8')
  expect(['linux_amd64', 'linux_arm64', 'linux_arm_v7'].map(made)).toEqual([
    'linux/amd64 amd64\n',
    'linux/arm64 arm64\n',
    'linux/arm/v7 arm\n',
  ])
})

test('two processes at once: what is equal runs once', async () => {
  const mount = '--mount=type=cache,target=/c'
  const directory = context(
    `FROM base AS a\nRUN ${mount} sleep 0.5; echo a >> /c/n\nFROM base AS b\nRUN ${mount} sleep 0.5; echo b >> /c/n\nFROM base\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\nRUN ${mount} sort /c/n | tr '\\n' ' ' > /n\n`,
  )
  const outcomes = await Promise.all(
    ['one.tar', 'two.tar'].map(
      (dest) =>
        new Promise<number | null>((resolve) => {
          shop.start(['build', '-q', '-o', `type=tar,dest=${dest}`, directory]).on('close', resolve)
        }),
    ),
  )
  expect(outcomes).toEqual([0, 0])
  for (const dest of ['one.tar', 'two.tar'])
    expect(spawnSync('tar', ['-xOf', shop.path(dest), 'n'], { encoding: 'utf8' }).stdout).toBe('a b ')
})

test('prune --keep-storage: a cap that is kept, by what was used last', async () => {
  using own = workshop('cap')
  own.must(['import', '-q', busyboxTar(), 'base'])
  for (const name of ['a', 'b', 'c']) {
    // Random bytes do not compress.
    own.must([
      'build',
      '-q',
      '-o',
      'type=cacheonly',
      context(`FROM base\nRUN echo ${name}; dd if=/dev/urandom of=/${name} bs=1M count=4\n`),
    ])
  }
  const cap = 9 * 1024 * 1024
  // What is younger than two seconds may belong to somebody who is at work.
  await delay(2500)
  own.must(['prune', '--force', '--keep-storage', `${cap}`])
  const { stdout } = spawnSync('du', ['-sb', ...['blobs', 'snapshots'].map((name) => join(own.store, name))], { encoding: 'utf8' })
  const bytes = stdout
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line.split('\t')[0]), 0)
  // The image is no cache: its layer and its tree are kept beside.
  expect(bytes - 2 * 2.2 * 1024 * 1024).toBeLessThan(cap)
  expect(own.damage()).toEqual([])
})

test('builder prune: cache mounts count, and go when they were not used for longest; what no build uses is all gone', async () => {
  using own = workshop('mounts')
  own.must(['import', '-q', busyboxTar(), 'base'])
  const use = (id: string): string =>
    own.must([
      'build',
      '-q',
      '--no-cache',
      '-o',
      'type=cacheonly',
      context(`FROM base\nRUN --mount=type=cache,id=${id},target=/c dd if=/dev/zero of=/c/f bs=1M count=4\n`),
    ])
  const mounts = (): number => JSON.parse(own.must(['df', '--json'])).cacheFiles.bytes as number
  use('one')
  use('two')
  await delay(2500)
  expect(mounts()).toBeGreaterThanOrEqual(8 * 2 ** 20)
  own.must(['builder', 'prune', '--keep-storage', '6m'])
  expect(mounts()).toBeLessThan(6 * 2 ** 20)
  expect(mounts()).toBeGreaterThanOrEqual(4 * 2 ** 20)
  own.must(['builder', 'prune'])
  expect(mounts()).toBe(0)
  use('one')
})

const user = process.getuid?.() === 0 ? ordinaryUser() : 'only root can be two users'
const why = typeof user === 'string' ? ` (skipped, because ${user})` : ''

test.skipIf(typeof user === 'string')(`reproducible: root and rootless, whatever --jobs, the umask and times${why}`, () => {
  using other = workshop('rootless-build', user as User)
  const dockerfile = `FROM base AS a
RUN mkdir -p /a/b && echo a > /a/b/f && chown -R 12:34 /a && chmod 4755 /a/b/f
FROM base AS b
COPY --chmod=755 d /d
RUN rm /bin/vi && ln /d/f /d/hard && ln -s f /d/soft && mkfifo /d/pipe
FROM base
COPY --from=a /a /a
COPY --from=b --chown=7 /d /d
RUN rm /bin/vi; touch -d @2000000000 /later; echo $SOURCE_DATE_EPOCH
WORKDIR /made/by/workdir
`
  const saved = other.path('base.tar')
  shop.must(['save', '-o', saved, 'base'])
  other.must(['load', '-q', '-i', saved])
  const digests = new Set<string>()
  for (const [mine, jobs, umask] of [
    [shop, '1', 0o022],
    [shop, '4', 0o077],
    [other, '1', 0o002],
    [other, '4', 0o022],
  ] as const) {
    const directory = mine.path(`same${count++}`)
    mkdirSync(join(directory, 'd'), { recursive: true })
    writeFileSync(join(directory, 'd/f'), 'f', { mode: 0o666 & ~umask })
    writeFileSync(join(directory, 'Dockerfile'), dockerfile)
    const { uid, gid } = statSync(mine.directory)
    for (const name of ['', 'd', 'd/f', 'Dockerfile']) chownSync(join(directory, name), uid, gid)
    const flags = [
      '--no-cache',
      '--mode-policy',
      'git',
      '--source-date-epoch',
      '1000000000',
      '--jobs',
      jobs,
      '--metadata-file',
      'metadata.json',
    ]
    mine.must(['build', '-q', ...flags, directory])
    const metadata = JSON.parse(readFileSync(mine.path('metadata.json'), 'utf8')) as Record<string, string>
    digests.add(metadata['containerimage.digest']!)
  }
  expect([...digests]).toHaveLength(1)
})
