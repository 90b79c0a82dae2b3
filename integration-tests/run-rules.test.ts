/**
 * RUN and the instructions that describe an image, where builders differ or where one is easily caught out, rule by rule.
 * Those that can be compared with other builders are in `differential/cases/`.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop, type Outcome } from './stave.ts'

const shop = workshop('run-rules')

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
})
afterAll(() => shop[Symbol.dispose]())

type Files = Readonly<Record<string, string>>

function context(lines: readonly string[], files: Files = {}): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  for (const [name, text] of Object.entries({ Dockerfile: [...lines, ''].join('\n'), ...files })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

/** Builds on busybox, where each RUN checks for itself what it finds. */
function runs(lines: readonly string[], files: Files = {}, ...flags: readonly string[]): Outcome {
  return shop.stave(['build', '-q', '--output', 'type=cacheonly', ...flags, context(['FROM busybox', ...lines], files)])
}

function expectRuns(lines: readonly string[], files: Files = {}, ...flags: readonly string[]): void {
  const { status, stderr } = runs(lines, files, ...flags)
  expect([status, stderr]).toEqual([0, expect.any(String)])
}

function expectError(outcome: Outcome, ...said: readonly RegExp[]): void {
  expect(outcome.stderr).toMatch(/^error: /m)
  for (const text of said) expect(outcome.stderr).toMatch(text)
  expect(outcome.status).toBe(1)
}

interface Image {
  readonly Config: Readonly<Record<string, unknown>>
  readonly Author?: string
  readonly RootFS: { readonly Layers?: readonly string[] }
}

let count = 0

function image(...lines: readonly string[]): Image {
  const name = `made-${count++}`
  const { status, stderr } = shop.stave(['build', '-q', '-t', name, context(lines)])
  expect([status, stderr]).toEqual([0, expect.any(String)])
  const [found] = JSON.parse(shop.must(['inspect', name])) as [Image]
  return found
}

const fails = (...lines: readonly string[]): Outcome => shop.stave(['build', '-q', '--output', 'type=cacheonly', context(lines)])

describe('RUN', () => {
  test('exec form: no shell, no expansion, a program of PATH; an ENTRYPOINT is not for it', () => {
    expectRuns([
      'ENTRYPOINT ["false"]',
      'ENV v=1 PATH=/own:/bin',
      'RUN mkdir /own && printf \'#!/bin/sh\\necho "$1" > /said\\n\' > /own/say && chmod 755 /own/say',
      'RUN ["say", "$v && *"]',
      'RUN test "$(cat /said)" = \'$v && *\'',
    ])
  })
  test('shell form: the line as it stands, quotes and blanks too', () => {
    expectRuns([
      'SHELL ["/bin/sh", "-c", "printf %s \\"$0\\" > /text"]',
      'RUN a  "b   c" \'$d\'',
      'RUN ["sh", "-c", "grep -qxF \\"a  \\\\\\"b   c\\\\\\" \'\\\\$d\'\\" /text"]',
    ])
  })
  test('what changes nothing is a layer all the same', () => {
    expect(image('FROM busybox', 'RUN true').RootFS.Layers).toHaveLength(2)
  })
  test('the files it is given leave no trace, nor a new time of /etc', () => {
    expectRuns([
      'RUN touch -d @1000000000 /etc',
      'RUN test -s /etc/hosts -a -s /etc/resolv.conf',
      'RUN test "$(stat -c %Y /etc)" = 1000000000',
    ])
  })
  test('--security=insecure, and --network=host in a build without a network, only where they are allowed', () => {
    expectError(runs(['RUN --security=insecure true']), /security\.insecure/, /Dockerfile:2/)
    expectError(runs(['RUN --network=host true'], {}, '--network', 'none'), /network\.host/, /Dockerfile:2/)
    expectRuns(['RUN --network=host true'], {}, '--network', 'none', '--allow', 'network.host')
  })
  test('--device: one that is not there is an error only where it is required', () => {
    expectRuns(['RUN --device=/dev/none true'], {}, '--allow', 'device')
    expectError(runs(['RUN --device=/dev/none,required true'], {}, '--allow', 'device'), /there is no device \/dev\/none/, /Dockerfile:2/)
  })
  test('--shm-size and --ulimit', () => {
    expectRuns(['RUN df -k /dev/shm | grep -q " 8192 " && test "$(ulimit -n)" = 77'], {}, '--shm-size', '8m', '--ulimit', 'nofile=77:77')
  })
})

describe('RUN --mount=type=bind', () => {
  test('is read-only; what is written with rw is thrown away', () => {
    expectRuns(
      [
        'RUN --mount=target=/c ! touch /c/new 2>/dev/null && ! echo y 2>/dev/null > /c/f',
        'RUN --mount=target=/c,rw echo y > /c/f && touch /c/new && grep -q y /c/f',
        'RUN --mount=target=/c test ! -e /c/new && grep -q x /c/f',
        'RUN test ! -e /c',
      ],
      { f: 'x' },
    )
  })
  test('a relative target is below WORKDIR, keys are in any case, a quoted field may hold a comma', () => {
    expectRuns(['WORKDIR /w', `RUN --mount=TYPE=bind,Target=c,'"source=a,b"' test -f /w/c/f`], { 'a,b/f': 'x' })
  })
  test('only what it names counts for the cache', () => {
    const directory = context(['FROM busybox', 'RUN --mount=source=in,target=/c cat /c/f && head -c 9 /dev/urandom | base64 > /random'], {
      'in/f': 'x',
      'out/f': 'x',
    })
    const made = (): string => shop.must(['build', '-q', directory])
    const first = made()
    writeFileSync(join(directory, 'out/f'), 'y')
    expect(made()).toBe(first)
    writeFileSync(join(directory, 'in/f'), 'y')
    expect(made()).not.toBe(first)
  })
  test('"from" takes no variables', () => {
    expectError(runs(['ARG x=busybox', 'RUN --mount=from=$x,target=/c true']), /'from' of a mount/, /Dockerfile:3/)
  })
})

describe('RUN --mount=type=cache', () => {
  test('mode, owner and from are for one that is new, and name another one', () => {
    expectRuns([
      'RUN --mount=type=cache,id=modes,target=/c test "$(stat -c %a:%u:%g /c)" = 755:0:0 && touch /c/first',
      'RUN --mount=type=cache,id=modes,target=/c,mode=0777,uid=5,gid=6 test "$(stat -c %a:%u:%g /c)" = 777:5:6 && test ! -e /c/first',
      'RUN --mount=type=cache,id=modes,target=/c test -e /c/first',
      'RUN --mount=type=cache,id=filled,from=busybox,source=/bin,target=/c test -e /c/busybox && touch /c/more',
      'RUN --mount=type=cache,id=filled,from=busybox,source=/bin,target=/c test -e /c/more',
    ])
  })
  test('private: a directory of its own where it is busy; shared: the same', () => {
    const mounts = '--mount=type=cache,target=/own,sharing=private --mount=type=cache,target=/both'
    // Each goes on when the other is there, too.
    const meet = 'for n in $(seq 100); do test -e /both/one && test -e /both/two && break; sleep 0.1; done'
    const stage = (me: string): string[] => [
      `FROM busybox AS ${me}`,
      `RUN ${mounts} touch /own/${me} /both/${me} && ${meet} && ls /both > /shared && ls /own > /private`,
    ]
    const check = 'test "$(cat /one/shared)" = "$(cat /two/shared)" && test "$(cat /one/private)" = one && test "$(cat /two/private)" = two'
    const copies = ['one', 'two'].map((from) => `COPY --from=${from} /shared /private /${from}/`)
    expectRuns([...stage('one'), ...stage('two'), 'FROM busybox', ...copies, `RUN ${check}`])
  })
  test('is known by its id, else by its cleaned target; ro cannot be written', () => {
    expectRuns([
      'RUN --mount=type=cache,target=/a/../by-target/ touch /by-target/x',
      'RUN --mount=type=cache,target=/other,id=/by-target test -e /other/x',
      'RUN --mount=type=cache,target=/by-target,ro test -e /by-target/x && ! touch /by-target/y 2>/dev/null',
      'RUN test ! -e /by-target && test ! -e /other',
    ])
  })
})

test('RUN --mount=type=tmpfs: its size, and nothing stays', () => {
  expectRuns(['RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | grep -q " 1024 " && touch /t/x', 'RUN test ! -e /t'])
})

describe('RUN --mount=type=secret', () => {
  const secret = (): string => {
    writeFileSync(shop.path('hush'), 'hush')
    return `id=dir/key,src=${shop.path('hush')}`
  }
  test('is found by the last part of its id, mode 0400, of root', () => {
    expectRuns(['RUN --mount=type=secret,id=dir/key test "$(stat -c %a:%u:%g /run/secrets/key)" = 400:0:0'], {}, '--secret', secret())
  })
  test('as a variable alone it is no file; with a target it is both', () => {
    expectRuns(
      [
        'RUN --mount=type=secret,id=dir/key,env=K test "$K" = hush && test ! -e /run/secrets/key',
        'RUN --mount=type=secret,id=dir/key,env=K,target=/k test "$K$(cat /k)" = hushhush',
        'RUN test -z "$K" && test ! -e /k && test ! -e /run/secrets',
      ],
      {},
      '--secret',
      secret(),
    )
  })
  test('is missing silently, unless it is required; a target alone gives the id', () => {
    expectRuns(['RUN --mount=type=secret,id=none test ! -e /run/secrets/none'])
    expectError(runs(['RUN --mount=type=secret,target=/x/none,required true']), /none/, /Dockerfile:2/)
  })
})

describe('WORKDIR', () => {
  test('joined, cleaned, without a slash at its end, expanded', () => {
    expect(image('FROM scratch', 'ENV d=b', 'WORKDIR /a/', 'WORKDIR $d/./c/../', 'LABEL x=1').Config).toMatchObject({ WorkingDir: '/a/b' })
  })
  test('is a layer, unless it is /; a directory that is there stays as it is', () => {
    expect(image('FROM busybox', 'WORKDIR /', 'WORKDIR /new').RootFS.Layers).toHaveLength(2)
    expectRuns([
      'RUN mkdir -m 700 /own && chown 5:6 /own',
      'USER 7:8',
      'WORKDIR /own',
      'USER 0',
      'RUN test "$(stat -c %a:%u:%g /own)" = 700:5:6',
    ])
  })
})

describe('the config', () => {
  let made: Image
  let config: Image['Config']
  beforeAll(() => {
    made = image(
      'FROM scratch',
      'MAINTAINER Some One',
      'ARG u=nobody-here',
      'USER $u:group',
      'ENV k=key',
      'ENV my_$k="$k"',
      `LABEL $k.a='$k' $k.b="$k"`,
      'EXPOSE 8002-8004/UDP 80 127.0.0.1:81:82 80/tcp 5/sctp',
      'VOLUME /a',
      'VOLUME [" /b ", "/c"]',
      'HEALTHCHECK --interval=1m30s --timeout=0 --start-period=1ms --retries=3 CMD curl -f  x || exit 1',
      'STOPSIGNAL RTMIN+3',
      'ENTRYPOINT one',
      'SHELL ["/bin/ash", "-ec"]',
      'CMD two',
    )
    config = made.Config
  })

  test('USER is taken as it is, expanded, and not looked up', () => {
    expect(config['User']).toBe('nobody-here:group')
    expectError(fails('FROM scratch', 'USER'), /USER/, /Dockerfile:2/)
  })
  test('ENV and LABEL: keys are expanded, single quotes keep a $', () => {
    expect(config['Env']).toContain('my_key=key')
    expect(config['Labels']).toMatchObject({ 'key.a': '$k', 'key.b': 'key' })
  })
  test('EXPOSE range: one entry a port, protocols in lower case, addresses and host ports let go', () => {
    expect(Object.keys(config['ExposedPorts'] as object).sort()).toEqual(['5/sctp', '80/tcp', '8002/udp', '8003/udp', '8004/udp', '82/tcp'])
    expectError(fails('FROM scratch', 'EXPOSE 80/icmp'), /icmp/)
  })
  test('VOLUME keeps later changes, makes no directory, and adds to those before', () => {
    expectRuns(['RUN mkdir /v', 'VOLUME /v /none', 'RUN touch /v/x', 'RUN test -e /v/x && test ! -e /none'])
    expect(config['Volumes']).toEqual({ '/a': {}, '/b': {}, '/c': {} })
    expectError(fails('FROM scratch', 'VOLUME [""]'), /VOLUME/)
  })
  test('HEALTHCHECK in config: nanoseconds, nothing for 0, and at least 1ms', () => {
    expect(config['Healthcheck']).toEqual({
      Test: ['CMD-SHELL', 'curl -f  x || exit 1'],
      Interval: 90_000_000_000,
      StartPeriod: 1_000_000,
      Retries: 3,
    })
    expectError(fails('FROM scratch', 'HEALTHCHECK --interval=1us CMD x'), /1us/)
  })
  test('SHELL: in the config, and for the shell forms after it', () => {
    expect(config).toMatchObject({ Shell: ['/bin/ash', '-ec'], Entrypoint: ['/bin/sh', '-c', 'one'], Cmd: ['/bin/ash', '-ec', 'two'] })
  })
  test('STOPSIGNAL: one of those in real time, too', () => {
    expect(config['StopSignal']).toBe('RTMIN+3')
  })
  test('MAINTAINER is the author', () => {
    expect(made.Author).toBe('Some One')
  })
  test('ONBUILD: as it was written, with its heredoc; gone in the child', () => {
    shop.must(['build', '-q', '-t', 'parent', context(['FROM busybox', 'ONBUILD RUN  <<E', '  echo a  b > /t', 'E'])])
    const [{ Config }] = JSON.parse(shop.must(['inspect', 'parent'])) as [Image]
    expect(Config['OnBuild']).toEqual(['RUN  <<E\n  echo a  b > /t\nE'])
    const child = image('FROM parent', 'RUN grep -qx "a b" /t && rm /t')
    expect(child.Config['OnBuild'] ?? null).toBeNull()
  })
})
