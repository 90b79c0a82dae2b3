import type { ImageConfig } from '#oci/config.ts'
import type { PlanOptions } from './planner.ts'
import { describe, expect, test } from 'vitest'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { imageState, stepKey } from './key.ts'
import { plan, type Plan } from './plan.ts'
import { parseContext } from './source-url.ts'
import { makesLayer } from './step.ts'

const amd64 = { os: 'linux', architecture: 'amd64' }

const options: PlanOptions = {
  buildArgs: new Map(),
  targetPlatform: amd64,
  buildPlatform: amd64,
  contexts: new Map(),
  noCache: false,
  network: 'host',
  hosts: [],
  allow: [],
  isLocal: true,
}

/** Every base image is this one, unless given. */
const debian: ImageConfig = {
  os: 'linux',
  architecture: 'amd64',
  config: { Env: ['PATH=/usr/bin:/bin'], Cmd: ['bash'] },
  rootfs: { type: 'layers', diff_ids: [] },
}

function planOf(text: string, change: Partial<PlanOptions> = {}, bases: Record<string, ImageConfig['config']> = {}): Plan {
  const dockerfile = parseDockerfile(text, { file: 'Dockerfile' })
  const configs = new Map<string, ImageConfig>()
  for (let round = 0; round < 10; round++) {
    const planned = plan(dockerfile, { ...options, ...change }, configs)
    if ('plan' in planned) return planned.plan
    for (const { key, reference } of planned.needs) {
      const config = bases[reference]
      configs.set(key, config === undefined ? debian : { ...debian, config })
    }
  }
  throw new Error('no fixed point')
}

const titles = (planned: Plan): string[] => planned.steps.map(({ title }) => title)
const history = (planned: Plan): string[] =>
  planned.stage.history.map(({ createdBy, step }) => `${step === undefined ? '-' : step.id} ${createdBy}`)
const ops = (planned: Plan): unknown[] => planned.steps.map(({ op }) => op)

describe('steps', () => {
  test('only RUN, COPY, ADD and WORKDIR make steps', () => {
    const planned = planOf(`FROM debian
ENV A=1 B="two words"
WORKDIR /app
COPY a.txt b.txt ./
RUN make $A
USER app
WORKDIR sub
ENTRYPOINT ["/app/x"]
EXPOSE 80 443/tcp 9000-9001/udp
VOLUME /data /log
LABEL a.b=c
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD curl localhost
`)
    expect(titles(planned)).toEqual([
      '[1/5] FROM debian',
      '[2/5] WORKDIR /app',
      '[context]',
      '[3/5] COPY a.txt b.txt ./',
      '[4/5] RUN make $A',
      '[5/5] WORKDIR sub',
    ])
    expect(ops(planned).slice(1)).toEqual([
      { kind: 'copy', to: '/app', items: [{ kind: 'directory' }] },
      { kind: 'local', context: '' },
      { kind: 'copy', to: '/app/', items: [{ kind: 'select', input: 0, sources: ['a.txt', 'b.txt'], resetOwner: true }] },
      {
        kind: 'exec',
        args: ['/bin/sh', '-c', 'make $A'],
        env: ['PATH=/usr/bin:/bin', 'A=1', 'B=two words'],
        cwd: '/app',
        network: 'host',
        mounts: [],
        platform: amd64,
        proxyEnv: [],
        shell: ['/bin/sh', '-c'],
      },
      { kind: 'copy', to: '/app/sub', items: [{ kind: 'directory' }], user: 'app' },
    ])
    expect(planned.stage.config).toEqual({
      Env: ['PATH=/usr/bin:/bin', 'A=1', 'B=two words'],
      WorkingDir: '/app/sub',
      User: 'app',
      Entrypoint: ['/app/x'],
      Cmd: null,
      ExposedPorts: { '80/tcp': {}, '443/tcp': {}, '9000/udp': {}, '9001/udp': {} },
      Volumes: { '/data': {}, '/log': {} },
      Labels: { 'a.b': 'c' },
      StopSignal: 'SIGINT',
      Healthcheck: { Test: ['CMD-SHELL', 'curl localhost'], Interval: 5_000_000_000 },
    })
  })

  test('history: one line an instruction, with declared ARGs before RUN', () => {
    const planned = planOf(
      `FROM scratch
ARG V=1
ARG TOKEN
ENV A=1
RUN --network=none echo $V
RUN ["/x", "a b"]
COPY --chown=1:2 --chmod=644 --link a /b
CMD ["a", "b c"]
`,
      { buildArgs: new Map([['V', '2']]) },
    )
    expect(history(planned)).toEqual([
      '- ARG V=2',
      '- ARG TOKEN',
      '- ENV A=1',
      's0 RUN |2 V=2 TOKEN= /bin/sh -c echo $V # stave',
      's1 RUN |2 V=2 TOKEN= /x a b # stave',
      's3 COPY --chown=1:2 --chmod=644 a /b # stave',
      '- CMD ["a" "b c"]',
    ])
  })

  // BuildKit: an absolute path as it is written, a relative one joined and cleaned.
  test.each([
    [['/a/b/'], '/a/b/', '/a/b'],
    [['/a/../b/.'], '/a/../b/.', '/b'],
    [['/a/', 'b/'], '/a/b', '/a/b'],
    [['/a', '../b/./c/'], '/b/c', '/b/c'],
    [['a'], '/a', '/a'],
    [['/a', '$unset'], '/a', '/a'],
  ])('WORKDIR %j is %s in config and history', (paths, shown, made) => {
    const planned = planOf(`FROM scratch\n${paths.map((path) => `WORKDIR ${path}\n`).join('')}`)
    expect([planned.stage.config.WorkingDir, history(planned).at(-1)?.split(' ').slice(1).join(' ')]).toEqual([shown, `WORKDIR ${shown}`])
    expect(planned.steps.at(-1)?.op).toMatchObject({ to: made })
  })

  test('USER, ENV and LABEL with an empty name: as written, and said', () => {
    const planned = planOf('FROM scratch\nUSER $U\nENV $U=x\nLABEL $U=x\n')
    expect(planned.stage.config).toMatchObject({ User: '', Env: [expect.stringMatching(/^PATH=/), '=x'], Labels: { '': 'x' } })
    expect(history(planned)).toEqual(['- USER ', '- ENV =x', '- LABEL =x'])
    expect(planned.warnings.map(({ message, span }) => `${span?.line} ${message}`)).toEqual([
      '2 USER $U is root: it is empty after expansion',
      '3 ENV $U=x has no name: it is empty after expansion',
      '4 LABEL $U=x has no name: it is empty after expansion',
    ])
  })

  test('the shell form is for cmd on Windows, unless SHELL says something else', () => {
    const text = 'FROM scratch AS a\nRUN dir\nENTRYPOINT foo bar\nFROM a\nCMD x\nSHELL ["powershell", "-Command"]\nRUN y\n'
    const planned = planOf(text, { targetPlatform: { os: 'windows', architecture: 'amd64' } })
    expect(planned.stage.config).toMatchObject({ Entrypoint: ['cmd', '/S', '/C', 'foo bar'], Cmd: ['cmd', '/S', '/C', 'x'] })
    expect(history(planned)).toEqual([
      's0 RUN cmd /S /C dir # stave',
      '- ENTRYPOINT ["cmd" "/S" "/C" "foo bar"]',
      '- CMD ["cmd" "/S" "/C" "x"]',
      '- SHELL [powershell -Command]',
      's1 RUN powershell -Command y # stave',
    ])
  })

  test('stages: unreachable ones are not planned, contexts and images are shared', () => {
    const planned = planOf(`FROM debian AS base
RUN one
FROM base AS unused
RUN never
FROM base AS build
COPY src /src
RUN make
FROM scratch
COPY --from=build /src/out /out
COPY --from=debian /etc/os-release /
COPY more /
`)
    expect(titles(planned)).toEqual([
      '[base 1/2] FROM debian',
      '[base 2/2] RUN one',
      '[context]',
      '[build 2/3] COPY src /src',
      '[build 3/3] RUN make',
      '[stage-3 2/4] COPY --from=build /src/out /out',
      '[stage-3 3/4] COPY --from=debian /etc/os-release /',
      '[stage-3 4/4] COPY more /',
    ])
    expect(planned.stage.base).toBeUndefined()
    expect(planned.stage.config.Env).toEqual(['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'])
  })

  test('a target stage, and a stage that is based on another, inherits all of it', () => {
    const planned = planOf('FROM debian AS a\nARG X=1\nENV Y=2\nLABEL l=a\nUSER u\nFROM a AS b\nRUN echo $X\nFROM b AS c\nRUN no\n', {
      target: 'B',
    })
    expect(planned.stage.name).toBe('b')
    expect(planned.stage.config).toMatchObject({ User: 'u', Labels: { l: 'a' } })
    expect(history(planned)).toEqual(['- ARG X=1', '- ENV Y=2', '- LABEL l=a', '- USER u', 's1 RUN |1 X=1 /bin/sh -c echo $X # stave'])
  })

  test('ENTRYPOINT clears an inherited CMD, not one of the same stage', () => {
    expect(planOf('FROM debian\nENTRYPOINT ["e"]').stage.config).toMatchObject({ Cmd: null, Entrypoint: ['e'] })
    expect(planOf('FROM debian\nCMD ["c"]\nENTRYPOINT ["e"]').stage.config).toMatchObject({ Cmd: ['c'], Entrypoint: ['e'] })
  })

  test('ENV sees the values from before its instruction', () => {
    expect(planOf('FROM scratch\nENV a=1\nENV a=2 b=$a').stage.config.Env?.slice(1)).toEqual(['a=2', 'b=1'])
  })
})

describe('ONBUILD', () => {
  const bases = { parent: { OnBuild: ['COPY --from=tools /t /t', 'RUN prepare', 'ENV DONE=1'] } }

  test('triggers of a base image run first, may need stages, and are not inherited', () => {
    const planned = planOf('FROM other AS tools\nRUN maketools\nFROM parent\nRUN last\n', {}, bases)
    expect(titles(planned)).toEqual([
      '[stage-1 1/4] FROM parent',
      '[tools 1/2] FROM other',
      '[tools 2/2] RUN maketools',
      '[stage-1 2/4] COPY --from=tools /t /t',
      '[stage-1 3/4] RUN prepare',
      '[stage-1 4/4] RUN last',
    ])
    expect(planned.stage.config.Env).toContain('DONE=1')
    expect(planned.stage.config.OnBuild).toBeUndefined()
  })

  test('triggers of a stage of the same file run in the stage on top of it', () => {
    const planned = planOf('FROM debian AS a\nONBUILD RUN trigger\nRUN own\nFROM a\nRUN child\n')
    expect(titles(planned).map((title) => title.replace(/^\S+ \S+ /, ''))).toEqual([
      'FROM debian',
      'RUN own',
      expect.stringContaining('trigger'),
      'RUN child',
    ])
    expect(planned.stage.config.OnBuild).toBeUndefined()
    expect(history(planned).filter((line) => line.includes('ONBUILD'))).toEqual([])
  })

  test('an image that a trigger names is asked for in a second round', () => {
    const dockerfile = parseDockerfile('FROM parent', { file: 'Dockerfile' })
    const first = plan(dockerfile, options, new Map())
    expect('needs' in first && first.needs.map(({ reference }) => reference)).toEqual(['parent'])
    const configs = new Map([['parent linux/amd64', { ...debian, config: { OnBuild: ['COPY --from=golang:1 /x /x'] } }]])
    const second = plan(dockerfile, options, configs)
    expect('needs' in second && second.needs.map(({ reference }) => reference)).toEqual(['golang:1'])
  })
})

describe('named contexts', () => {
  const contexts = (entries: Record<string, string>): Partial<PlanOptions> => ({
    contexts: new Map(Object.entries(entries).map(([name, value]) => [name, parseContext(value)])),
  })

  test('a context stands for a base image by any of its forms', () => {
    for (const name of ['debian', 'debian:latest', 'docker.io/library/debian', 'docker.io/library/debian:latest']) {
      const planned = planOf(`FROM ${name}\nRUN x`, contexts({ debian: 'docker-image://mirror/deb:1' }))
      expect(planned.steps[0]?.op).toMatchObject({ kind: 'image', reference: 'mirror/deb:1' })
    }
  })

  test('a context stands for a whole stage', () => {
    const planned = planOf('FROM debian AS build\nRUN make\nFROM scratch\nCOPY --from=build /out /', contexts({ build: './prebuilt' }))
    expect(titles(planned)).toEqual(['[context build]', '[build 1/1] FROM build', '[stage-1 2/2] COPY --from=build /out /'])
  })

  test('--from takes a directory', () => {
    const planned = planOf('FROM scratch\nCOPY --from=assets a /b', contexts({ assets: '../assets' }))
    expect(ops(planned)).toEqual([
      { kind: 'local', context: 'assets' },
      { kind: 'copy', to: '/b', items: [{ kind: 'select', input: 0, sources: ['a'], resetOwner: true }] },
    ])
  })
})

describe('COPY and ADD', () => {
  const copy = (line: string): unknown => planOf(`FROM scratch\nWORKDIR /w\n${line}`).steps.at(-1)?.op

  test.each([
    ['COPY a b', '/w/b'],
    ['COPY a b/', '/w/b/'],
    ['COPY a .', '/w/'],
    ['COPY a ./', '/w/'],
    ['COPY a /x/../y', '/y'],
    ['COPY a /x/.', '/x/'],
    ['COPY a ../../..', '/'],
    ['COPY a /', '/'],
  ])('%s goes to %s', (line, to) => {
    expect(copy(line)).toMatchObject({ to })
  })

  test('ADD takes archives apart, URLs and git repositories', () => {
    const planned = planOf('FROM scratch\nADD --chmod=600 a.tar https://example.com/d/x.bin?q=1 https://example.com/r.git#v1:sub /d/\n')
    expect(ops(planned)).toEqual([
      { kind: 'local', context: '' },
      { kind: 'fetch', url: 'https://example.com/d/x.bin?q=1' },
      { kind: 'git', url: 'https://example.com/r.git#v1:sub' },
      {
        kind: 'copy',
        chmod: '600',
        to: '/d/',
        items: [
          { kind: 'select', input: 0, sources: ['a.tar'], resetOwner: true, unpack: true },
          { kind: 'file', input: 1, name: 'x.bin' },
          { kind: 'select', input: 2, sources: ['.'], resetOwner: true },
        ],
      },
    ])
  })

  test('heredocs are files, expanded unless quoted', () => {
    const planned = planOf('FROM scratch\nENV A=1\nCOPY <<ONE <<"TWO" /d/\n$A "q" \\$A\nONE\n$A\nTWO\n')
    expect(planned.steps.at(-1)?.op).toMatchObject({
      items: [
        { kind: 'inline', name: 'ONE', content: '1 "q" $A\n' },
        { kind: 'inline', name: 'TWO', content: '$A\n' },
      ],
    })
    expect(history(planned).at(-1)).toContain('COPY <<ONE <<TWO /d/ # stave')
  })

  test.each([
    ['COPY https://example.com/x /', /takes no URL/],
    ['ADD --checksum=sha256:00 a /b', /checksum/],
    ['ADD --keep-git-dir=true https://example.com/r.git?keep-git-dir=false /b', /--keep-git-dir and the keep-git-dir of the URL differ/],
    ['ADD --checksum=abcdef1 https://example.com/r.git?checksum=1234567 /b', /--checksum and the checksum of the URL differ/],
    ['ADD https://example.com/r.git?nope=1 /b', /unknown query key "nope"/],
    ['COPY --from=3 a /b', /./],
    ['COPY --chmod=9 a /b', /./],
  ])('%s is an error with its line', (line, message) => {
    expect(() => planOf(`FROM scratch\n${line}`)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(message), span: expect.objectContaining({ line: 2 }) }),
    )
  })
})

describe('RUN mounts', () => {
  test('each type', () => {
    const planned = planOf(`FROM scratch AS s
FROM debian
ARG D=/var/cache
WORKDIR /w
RUN --mount=target=src,source=/a --mount=type=bind,from=s,target=/s,rw --mount=type=cache,target=$D,sharing=locked --mount=type=tmpfs,target=/t,size=1m --mount=type=secret,id=k,env=K --mount=type=ssh x
`)
    const op = planned.steps.at(-1)?.op
    expect(op?.kind === 'exec' && op.mounts).toMatchObject([
      { type: 'bind', target: '/w/src', input: 0, source: '/a', readonly: true },
      { type: 'bind', target: '/s', input: 1, source: '/', readonly: false },
      { type: 'cache', target: '/var/cache', id: '/var/cache', sharing: 'locked' },
      { type: 'tmpfs', target: '/t', sizeBytes: 1048576 },
      { type: 'secret', id: 'k', env: 'K', required: false },
      { type: 'ssh', id: 'default', target: '/run/buildkit/ssh_agent.0' },
    ])
  })

  test('what was not allowed is refused', () => {
    expect(() => planOf('FROM scratch\nRUN --security=insecure x')).toThrow(/not allowed/)
    expect(planOf('FROM scratch\nRUN --security=insecure x', { allow: ['security.insecure'] }).steps.at(-1)?.op).toMatchObject({
      insecure: true,
    })
  })
})

describe('keys', () => {
  const keyOf = (text: string, change: Partial<PlanOptions> = {}): string => {
    const step = planOf(text, change).steps.at(-1)
    if (step === undefined || !makesLayer(step)) throw new Error('no layer')
    return stepKey(step.op, imageState([]), [], {}).key
  }

  test('are the same on every machine, for ever', () => {
    // If this changes, everyone's caches are lost: count keyVersion up.
    expect(keyOf('FROM scratch\nENV A=1\nRUN make')).toMatchInlineSnapshot(
      `"sha256:0b264720430ba3aa36ca48c6717504b618a0ce4fe7d24825c08a703a593f7fc3"`,
    )
    expect(keyOf('FROM scratch\nCOPY --chown=1 a /b')).toMatchInlineSnapshot(
      `"sha256:6256e161a0eb106cc954d29d0791c7e936b20128ccfea4c7d2a5d77c34f77bd6"`,
    )
  })

  test('an ARG counts from its declaration on, a proxy never', () => {
    const args = (value: string): Partial<PlanOptions> => ({
      buildArgs: new Map([
        ['V', value],
        ['HTTP_PROXY', value],
      ]),
    })
    expect(keyOf('FROM scratch\nRUN make', args('1'))).toBe(keyOf('FROM scratch\nRUN make', args('2')))
    expect(keyOf('FROM scratch\nARG V\nRUN make', args('1'))).not.toBe(keyOf('FROM scratch\nARG V\nRUN make', args('2')))
  })

  test('variables stand in any option but from', () => {
    expect(keyOf('FROM scratch\nARG T=cache S=locked\nRUN --mount=type=$T,target=/c,sharing=$S make')).toBe(
      keyOf('FROM scratch\nARG T=cache S=locked\nRUN --mount=type=cache,target=/c,sharing=locked make'),
    )
  })

  test('where a cache mount is kept does not count, where it is mounted does', () => {
    const run = (mount: string): string => keyOf(`FROM scratch\nRUN --mount=type=cache,${mount} make`)
    expect(run('target=/c,id=a')).toBe(run('target=/c,id=b,sharing=locked'))
    expect(run('target=/c')).not.toBe(run('target=/d'))
  })

  test('COPY --link does not look at what is below it', () => {
    const step = (text: string, state: string): string => {
      const last = planOf(text).steps.at(-1)
      return last !== undefined && makesLayer(last) ? stepKey(last.op, state as never, [], {}).key : ''
    }
    expect(step('FROM scratch\nCOPY --link a /b', 'sha256:1')).toBe(step('FROM scratch\nCOPY --link a /b', 'sha256:2'))
    expect(step('FROM scratch\nCOPY a /b', 'sha256:1')).not.toBe(step('FROM scratch\nCOPY a /b', 'sha256:2'))
  })
})

describe('what others wrote may ask for less', () => {
  const places = ['oci:/srv/x', 'oci-archive:/etc/shadow', 'docker-archive:/etc/shadow', 'dir:/etc', 'tarball:/x', 'containers-storage:x']

  test.each(places)('a Dockerfile from elsewhere names no %s', (place) => {
    for (const text of [
      `FROM ${place}`,
      `FROM debian\nCOPY --from=${place} / /`,
      `FROM debian\nRUN --mount=from=${place},target=/x true`,
    ]) {
      expect(() => planOf(text, { isLocal: false })).toThrow(expect.objectContaining({ code: 'denied' }))
      expect(() => planOf(text)).not.toThrow()
    }
  })

  test('but a name that the command line gave to such a place', () => {
    const contexts = new Map([['base', parseContext('oci-layout:///srv/x')]])
    expect(() => planOf('FROM base\nCOPY --from=base / /', { isLocal: false, contexts })).not.toThrow()
  })

  test.each([
    ['COPY --from=oci:/etc / /', 'oci:/etc'],
    ['RUN --mount=type=secret,id=token true', 'type=secret'],
    ['RUN --mount=type=ssh true', 'type=ssh'],
    ['RUN --device=nvidia.com/gpu=all true', '--device'],
    ['RUN --security=insecure true', '--security=insecure'],
  ])('nor an ONBUILD of a base image: %s', (trigger, what) => {
    const change = { allow: ['device', 'security.insecure'] }
    expect(() => planOf('FROM debian', change, { debian: { OnBuild: [trigger] } })).toThrow(
      expect.objectContaining({ code: 'denied', message: expect.stringContaining(what) }),
    )
    expect(() => planOf(`FROM debian AS base\nONBUILD ${trigger}\nFROM base`, change)).not.toThrow()
  })

  test('and what it downloads is marked as its own', () => {
    const planned = planOf('FROM debian\nADD https://h/b /', {}, { debian: { OnBuild: ['ADD https://h/a https://h/r.git /x/'] } })
    const downloads = planned.steps.map(({ op }) => op).filter((op) => op.kind === 'fetch' || op.kind === 'git')
    expect(downloads.map((op) => [op.url, op.isForeign])).toEqual([
      ['https://h/a', true],
      ['https://h/r.git', true],
      ['https://h/b', undefined],
    ])
  })
})

test('user and password of a URL are in no title and no history', () => {
  const planned = planOf('FROM debian\nADD https://user:pw@h/r.git /r\nADD https://user:pw@h/f?token=pw /f')
  expect(JSON.stringify([titles(planned), history(planned)])).not.toContain('pw')
  expect(history(planned)).toContain(`${planned.stage.top!.id} ADD https://h/f?token=xxxxx /f # stave`)
})
