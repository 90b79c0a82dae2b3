/** `--runtime`: containers and build steps by OCI runtimes of others, from the same description. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ociRuntimes } from './oci-runtimes.ts'
import { busyboxTar, ordinaryUser, until, type User, workshop, type Workshop } from './stave.ts'

const user = ordinaryUser()
const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('root', () => cases('root', undefined))
describe.skipIf(typeof user === 'string')('an ordinary user', () => cases('user', typeof user === 'string' ? undefined : user))

function cases(who: 'root' | 'user', owner: User | undefined): void {
  const shop = workshop(`other-runtimes-${who}`, owner)
  beforeAll(() => {
    shop.must(['import', '-q', busyboxTar(), 'base'])
    mkdirSync(shop.path('context'))
    writeFileSync(shop.path('context/Dockerfile'), 'FROM base\n')
  })
  afterAll(() => shop[Symbol.dispose]())
  for (const runtime of ociRuntimes(who))
    describe.skipIf(runtime.why !== undefined)(`${runtime.name}${runtime.why ?? ''}`, () => ofRuntime(shop, runtime.program, who))
}

function ofRuntime(shop: Workshop, program: string, who: 'root' | 'user'): void {
  const by = ['--runtime', program, '--network', who === 'root' ? 'bridge' : 'host']

  test('run: streams, exit status, mounts, user, limits of its own; nothing is left', () => {
    const script = 'cat; id -u; cat /in/file; echo kept >/out/file; hostname; ulimit -n; touch /made || true; echo err >&2; exit 7'
    const volumes = ['-v', `${shop.path('context')}:/in:ro`, '-v', 'other:/out', '--tmpfs', '/memory']
    writeFileSync(shop.path('context/file'), 'given\n')
    const words = ['-i', '--rm', '-h', 'box', '--ulimit', 'nofile=333', ...volumes, 'base', 'sh', '-c', script]
    expect(shop.stave(['run', '-q', ...by, ...words], { input: 'typed\n' })).toEqual({
      status: 7,
      stdout: 'typed\n0\ngiven\nbox\n333\n',
      stderr: 'err\n',
    })
    expect(shop.must(['run', '--rm', '--network', 'none', '-v', 'other:/out', 'base', 'cat', '/out/file'])).toBe('kept')
    expect(readdirSync(shop.path('store/containers'))).toEqual([])
  })

  test('what cannot be executed has the status of docker', () => {
    for (const [command, status] of [
      ['no-such-program', 127],
      ['/etc', 126],
    ] as const) {
      const outcome = shop.stave(['run', '--rm', ...by, 'base', command])
      expect([outcome.status, outcome.stderr]).toEqual([status, expect.stringContaining(' create: ')])
    }
    expect(readdirSync(shop.path('store/containers'))).toEqual([])
  })

  test('in the background: exec, logs, pause, kill, stop, start again, rm', async () => {
    const script = 'trap "echo stopped; exit 3" TERM; trap "echo hup" HUP; echo up; while :; do sleep 0.05; done'
    const id = shop.must(['run', '-d', '--name', 'box', ...by, '-e', 'A=1', 'base', 'sh', '-c', script])
    await until(() => shop.must(['logs', 'box']) === 'up')
    expect(shop.must(['inspect', '--format', '{{.State.Status}} {{.HostConfig.Runtime}}', 'box'])).toBe(
      `running ${program.split('/').at(-1)}`,
    )
    expect(shop.stave(['exec', '-i', '-e', 'B=2', 'box', 'sh', '-c', 'cat; echo $A$B; exit 5'], { input: 'x' })).toEqual({
      status: 5,
      stdout: 'x12\n',
      stderr: '',
    })
    expect(shop.stave(['exec', 'box', 'no-such-program']).status).toBe(127)
    shop.must(['exec', '-d', 'box', 'touch', '/made'])
    await until(() => shop.stave(['exec', 'box', 'test', '-e', '/made']).status === 0)
    // An ordinary user has no control group to freeze here.
    if (who === 'root') {
      shop.must(['pause', 'box'])
      expect(shop.must(['inspect', '--format', '{{.State.Status}}', 'box'])).toBe('paused')
      shop.must(['unpause', 'box'])
    }
    shop.must(['kill', '-s', 'HUP', 'box'])
    await until(() => shop.must(['logs', 'box']).includes('hup'))
    shop.must(['stop', 'box'])
    expect(shop.must(['wait', 'box'])).toBe('3')
    expect(shop.must(['logs', 'box'])).toBe('up\nhup\nstopped')
    shop.must(['start', 'box'])
    await until(() => shop.must(['logs', 'box']).endsWith('stopped\nup'))
    shop.must(['rm', '-f', 'box'])
    expect(existsSync(shop.path('store/containers', id))).toBe(false)
  })

  test('a terminal', () => {
    const { status, stdout } = shop.stave(['run', '--rm', '-t', ...by, 'base', 'sh', '-c', 'tty; test -t 0 && exit 4'])
    expect([status, stdout]).toEqual([4, '/dev/pts/0\r\n'])
  })

  test.skipIf(who === 'user')('a named network: an address and the name server', () => {
    shop.must(['network', 'create', 'net'])
    try {
      const script = 'ip -4 addr show eth0 | grep -c inet; nslookup other-name 127.0.0.11 2>&1 | grep -c "Address"'
      const words = ['--runtime', program, '--network', 'net', '--network-alias', 'other-name', 'base', 'sh', '-c', script]
      expect(shop.must(['run', '--rm', ...words])).toMatch(/^1\n[1-9]/)
    } finally {
      shop.must(['network', 'rm', 'net'])
    }
  })

  test('build: RUN leaves the same layer as the own runtime, also of mounts', () => {
    const dockerfile = [
      'FROM base',
      'WORKDIR /work',
      'RUN --mount=type=bind,target=/context --mount=type=tmpfs,target=/mem --mount=type=secret,id=s cat /run/secrets/s >secret && cp /context/Dockerfile . && touch -d @1 secret Dockerfile .',
      '',
    ].join('\n')
    const digests = [[], ['--runtime', program]].map((flags) => {
      const words = [
        'build',
        '-q',
        '--no-cache',
        '--source-date-epoch',
        '0',
        '--secret',
        'id=s,env=S',
        ...flags,
        '-f',
        '-',
        shop.path('context'),
      ]
      return shop.must(words, { input: dockerfile, env: { S: 'hidden' } })
    })
    expect(digests[1]).toBe(digests[0])
    const failed = shop.stave(['build', '-q', '--runtime', program, '-'], { input: 'FROM base\nRUN exit 9\n' })
    expect(failed.stderr).toContain('exit code 9')
  })
}

test('one that is not there is an error that says where it was looked for', () => {
  const shop = workshop('no-runtime')
  try {
    const { status, stderr } = shop.stave(['run', '--runtime', 'no-such-runtime', 'base', 'true'])
    expect([status, stderr]).toEqual([125, expect.stringMatching(/--runtime no-such-runtime: there is no such program in .*\/usr\/bin/)])
  } finally {
    shop[Symbol.dispose]()
  }
})
