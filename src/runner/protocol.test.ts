import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { encodeRequest, type LocalRequest } from './process.ts'
import type { ContainerState, NetworkLink, Resources, RunnerEvent, RunSpec, Verb } from './protocol.ts'

// The Rust half reads and writes the same files in its own test. `vitest -u` rewrites them from here.
const fixtures = join(import.meta.dirname, '../../fixtures/protocol')
const fixture = (name: string) => join(fixtures, `${name}.json`)
const pretty = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`

const store = (path: string) => ({ fd: 17, path })
const context = { fd: 21 }
const digest = (digit: string) => `sha256:${digit.repeat(64)}`
const layer = { blob: store('tmp/12-34-abcdef'), compression: 'gzip', level: 6, epoch: 1_700_000_000 } as const
const layerResult = {
  digest: digest('a'),
  size: 1234,
  diffID: digest('b'),
  uncompressedSize: 4096,
  entries: 3,
  treeDigest: digest('c'),
} as const

const port = { hostAddress: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const

const link: NetworkLink = {
  interface: 'eth0',
  mac: '02:42:0a:59:00:02',
  addresses: ['10.89.0.2/24', 'fd00::2/64'],
  gateways: ['10.89.0.1', 'fd00::1'],
  names: ['web', 'www'],
  bridge: {
    network: 'e'.repeat(64),
    name: 'staveeeeeeeee',
    addresses: ['10.89.0.1/24', 'fd00::1/64'],
    internal: true,
    isolated: true,
    mtu: 1400,
  },
}

const disk = { major: 8, minor: 0, value: 1_048_576 }

const resources: Resources = {
  memoryBytes: 2 ** 30,
  memorySwapBytes: 2 ** 31,
  cpus: 1.5,
  cpuShares: 512,
  pids: 100,
  cpusetCpus: '0-1',
  memoryReservationBytes: 1000,
  memorySwappiness: 10,
  cpusetMems: '0',
  blockIo: {
    weight: 500,
    weightDevices: [{ ...disk, value: 200 }],
    readBps: [disk],
    writeBps: [disk],
    readIops: [disk],
    writeIops: [disk],
  },
  unified: { 'memory.high': '1000' },
}

const spec: RunSpec = {
  args: ['/bin/sh', '-c', 'make "$TARGET"'],
  env: ['PATH=/usr/bin:/bin', 'TARGET=all'],
  cwd: '/src',
  makeCwd: true,
  user: 'app:staff',
  additionalGroups: ['audio', '44'],
  hostname: 'box',
  terminal: true,
  interactive: true,
  namespaces: { network: 'join', networkPath: { fd: 24 }, pid: 'private', ipc: 'host', uts: '/proc/7/ns/uts', cgroup: 'host' },
  capabilities: ['CAP_CHOWN', 'CAP_KILL'],
  noNewPrivileges: true,
  seccomp: 'default',
  privileged: true,
  mounts: [
    {
      type: 'bind',
      source: { fd: 22 },
      target: '/data',
      readonly: true,
      propagation: 'rslave',
      file: true,
      recursive: true,
      owner: [1000, 1000],
      own: true,
      attributes: ['noexec'],
    },
    {
      type: 'tree',
      from: { kind: 'directory', root: context },
      path: '/sub',
      target: '/ctx',
      readonly: true,
      ignore: [{ pattern: 'node_modules', negated: false, line: 3 }],
    },
    { type: 'tmpfs', target: '/tmp', sizeBytes: 65_536, mode: 0o1777, options: ['noexec'] },
    { type: 'content', target: '/run/secrets/token', base64: 'c2VjcmV0', mode: 0o400, uid: 1000, gid: 1000 },
    { type: 'shared', namespace: '/proc/7/ns/mnt', path: '/dev/shm', target: '/dev/shm' },
  ],
  devices: [{ path: '/dev/null', target: '/dev/hole', access: 'rwm' }],
  resources,
  ulimits: [{ name: 'nofile', soft: 1024, hard: -1 }],
  shmBytes: 64 * 2 ** 20,
  sysctl: { 'kernel.shmmax': '1024' },
  init: true,
  stopSignal: 'SIGINT',
  oomScoreAdj: 100,
  umask: 0o27,
  deviceRules: [{ kind: 'c', major: 1, minor: 3, access: 'rwm' }],
  mask: ['/proc/cpuinfo'],
  unmask: ['/proc/*'],
  apparmor: 'unconfined',
}

const requests: { [V in Verb]: LocalRequest<V> } = {
  probe: { verb: 'probe', store: { fd: 17 } },
  hold: { verb: 'hold', userns: { mode: 'create' } },
  unpack: {
    verb: 'unpack',
    userns: { mode: 'join', fd: 30 },
    lowers: [store('snapshots/one/fs')],
    layers: [
      {
        blob: store('blobs/sha256/aa'),
        compression: 'gzip',
        digest: digest('a'),
        size: 1234,
        diffID: digest('b'),
        into: store('snapshots/two'),
      },
      { blob: store('blobs/sha256/cc'), compression: 'zstd', digest: digest('c'), size: 99, into: store('snapshots/three') },
    ],
    form: 'either',
    maxBytes: 2 ** 40,
    maxEntries: 1_000_000,
  },
  remove: { verb: 'remove', userns: { mode: 'single' }, trees: [store('snapshots/one'), store('containers/two/fs')] },
  diff: {
    verb: 'diff',
    upper: store('snapshots/three/fs'),
    under: [store('snapshots/two/fs')],
    lowers: [store('snapshots/one/fs')],
    layer,
  },
  digest: {
    verb: 'digest',
    selections: [
      {
        selection: {
          from: { kind: 'directory', root: context },
          ignore: [
            { pattern: '*.log', negated: false, line: 1 },
            { pattern: 'keep.log', negated: true, line: 2 },
          ],
          sources: ['src/*', 'package.json'],
          exclude: ['**/*.test.ts'],
          parents: true,
          resetOwner: true,
          unpack: true,
        },
        without: ['mode', 'owner'],
      },
      { selection: { from: { kind: 'lowers', lowers: [store('snapshots/one/fs')] }, sources: ['/usr/bin/env'], literal: true } },
      { selection: { from: { kind: 'directory', root: store('cache/mounts/one') }, sources: ['.'], literal: true }, sizes: true },
    ],
    statCache: store('stat'),
    listings: store('listings'),
  },
  copy: {
    verb: 'copy',
    base: [store('snapshots/one/fs')],
    items: [
      { kind: 'select', selection: { from: { kind: 'directory', root: context }, sources: ['.'] } },
      { kind: 'inline', name: 'start.sh', content: '#!/bin/sh\nexec app\n', mode: 0o755 },
      { kind: 'file', name: 'download.tar', file: store('tmp/12-34-download'), mode: 0o600, mtime: 1_600_000_000, unpack: true },
      { kind: 'directory' },
    ],
    to: '/app/',
    chown: 'app:app',
    user: 'app',
    chmod: 'u+x',
    link: true,
    parents: true,
    rule: 'cp',
    tree: store('snapshots/two'),
    form: 'either',
    plain: { fd: 23 },
    layer,
    epoch: 1_700_000_000,
  },
  read: {
    verb: 'read',
    from: { kind: 'lowers', lowers: [store('snapshots/one/fs')] },
    paths: ['etc/os-release', 'var/lib/dpkg/info/*.list'],
    maxBytes: 65_536,
    sections: ['.go.buildinfo'],
  },
  run: {
    verb: 'run',
    id: 'f'.repeat(64),
    root: {
      lowers: [store('snapshots/one/fs')],
      upper: store('containers/ff/fs'),
      work: store('containers/ff/work'),
      readonly: true,
      volatile: true,
    },
    spec,
    layer,
    container: {
      directory: store('containers/ff'),
      log: true,
      detach: true,
      detachKeys: 'ctrl-p,ctrl-q',
      cgroupName: 'stave-ff',
      cgroupParent: '/ci',
      logOptions: { format: 'k8s-file', maxBytes: 1000, maxFiles: 3, place: { directory: { fd: 27 }, name: 'job.log' } },
    },
    network: {
      state: store('networks'),
      links: [link],
      ports: [port],
      resolver: { nameservers: ['192.0.2.53'] },
      userMode: { kind: 'pasta', program: '/usr/bin/pasta' },
      outside: { fd: 25 },
    },
    stopTimeout: 10,
    timeout: 3600,
    runtime: { program: '/usr/sbin/runc', directory: store('containers/ff') },
  },
  exec: {
    verb: 'exec',
    container: { directory: store('containers/ff') },
    spec: {
      args: ['ps'],
      env: ['PATH=/bin'],
      cwd: '/',
      user: '1000',
      additionalGroups: ['44'],
      terminal: true,
      interactive: true,
      capabilities: ['CAP_KILL'],
      noNewPrivileges: true,
      seccomp: {
        defaultAction: 'errno',
        defaultErrno: 38,
        rules: [
          { names: ['read', 'write'], action: 'allow' },
          {
            names: ['clone'],
            action: 'kill-process',
            errno: 1,
            conditions: [{ index: 0, operator: 'masked-eq', value: 0, mask: 2114060288 }],
          },
        ],
      },
      privileged: true,
      umask: 0o77,
    },
    detach: true,
    detachKeys: 'ctrl-x',
  },
  network: {
    verb: 'network',
    action: 'connect',
    state: store('networks'),
    outside: { fd: 25 },
    userMode: { kind: 'slirp4netns', program: '/usr/bin/slirp4netns' },
    container: { id: 'f'.repeat(64), directory: store('containers/ff') },
    link,
    network: 'e'.repeat(64),
  },
  bundle: { verb: 'bundle', root: { fd: 26 }, spec: { ...spec, mounts: [] }, readonly: true, owner: { uid: 1000, gid: 1001 } },
  unshare: { verb: 'unshare', args: ['sh', '-c', 'id -u'], env: ['PATH=/usr/bin:/bin', 'STAVE_ROOT=/home/ann/store'] },
  signal: { verb: 'signal', container: { directory: store('containers/ff') }, signal: 15, all: true, action: 'pause' },
  limit: { verb: 'limit', container: { directory: store('containers/ff') }, resources },
  attach: { verb: 'attach', container: { directory: store('containers/ff') }, interactive: true, detachKeys: 'ctrl-]' },
  guard: {
    verb: 'guard',
    container: { directory: store('containers/ff') },
    health: {
      spec: { args: ['/bin/sh', '-c', 'test -e /ready'], env: ['PATH=/bin'], cwd: '/', capabilities: [], seccomp: 'default' },
      intervalMs: 30_000,
      timeoutMs: 1000,
      startPeriodMs: 1,
      startIntervalMs: 5000,
      retries: 3,
    },
    restart: { command: ['/usr/bin/stave', 'start', 'ff'], env: ['HOME=/root'], onFailure: true, delayMs: 100 },
  },
}

const results: { [V in Verb]: RunnerEvent<V> } = {
  probe: {
    event: 'result',
    isolation: 'subid',
    kernel: '6.18.0',
    architecture: 'x86_64',
    overlay: true,
    erofs: false,
    whyNoErofs: 'only root can mount layers',
    reflink: false,
    seccomp: true,
    landlock: 7,
    cgroup: 'v2',
    controllers: ['cpu', 'memory', 'pids'],
    missing: ['install newuidmap'],
  },
  hold: { event: 'result' } as RunnerEvent<'hold'>,
  unpack: {
    event: 'result',
    layers: [
      { form: 'index', diffID: digest('b'), entries: 3, bytes: 4096 },
      { form: 'none', why: 'a sparse file is not cut at blocks' },
    ],
  },
  remove: { event: 'result' } as RunnerEvent<'remove'>,
  diff: { event: 'result', ...layerResult },
  digest: { event: 'result', selections: [{ digest: digest('d'), entries: 2, bytes: 77, unmatched: ['*.md'] }] },
  copy: {
    event: 'result',
    layer: layerResult,
    tree: { form: 'tree', bytes: 4096, why: 'the xattrs of a file are large' },
    entries: 3,
    unmatched: [],
  },
  read: { event: 'result', files: [{ path: 'etc/os-release', section: '.go.buildinfo', base64: 'SUQ9ZGViaWFuCg==' }] },
  run: { event: 'result', exitCode: 137, signal: 9, oomKilled: true, detached: false, pid: 4711, layer: layerResult },
  exec: { event: 'result', exitCode: 3 },
  network: { event: 'result' } as RunnerEvent<'network'>,
  limit: { event: 'result' } as RunnerEvent<'limit'>,
  signal: { event: 'result' } as RunnerEvent<'signal'>,
  bundle: { event: 'result', config: { ociVersion: '1.0.0' } },
  unshare: { event: 'result', exitCode: 7 },
  attach: { event: 'result', exitCode: 0 },
  guard: { event: 'result' } as RunnerEvent<'guard'>,
}

const events: Readonly<Record<string, RunnerEvent>> = {
  hello: { event: 'hello', version: 1, runner: '0.1.0' },
  progress: { event: 'progress', current: 10, total: 20 },
  warning: { event: 'warning', message: 'the memory limit cannot be set here' },
  ready: { event: 'ready' },
  started: { event: 'started', pid: 4711 },
  exit: { event: 'exit', exitCode: 137, signal: 9, oomKilled: true },
  failure: {
    event: 'failure',
    kind: 'not-found',
    message: 'cannot copy "secret.txt": it is not there',
    operation: 'openat2(21, "secret.txt", O_PATH|O_NOFOLLOW)',
    path: 'secret.txt',
    errno: 'ENOENT',
    hint: 'It is excluded by line 7 of the ignore file.',
    ignoredBy: 7,
  },
}

const state: ContainerState = {
  status: 'exited',
  pid: 4711,
  pidStart: 123_456,
  monitorPid: 4710,
  monitorStart: 123_450,
  startedAt: '2026-11-23T20:00:00.123456789Z',
  finishedAt: '2026-11-23T20:00:01Z',
  exitCode: 137,
  oomKilled: true,
  error: 'out of memory',
  cgroup: '/stave/ff',
  runtime: { program: '/usr/sbin/runc', directory: '/var/lib/stave/containers/ff/runtime', id: 'stave-ff' },
  ports: [port],
}

describe('messages are what both halves agreed on', () => {
  test.each(Object.entries(requests))('request %s', async (verb, request) => {
    const { line } = encodeRequest(request as LocalRequest<Verb>)
    await expect(pretty(JSON.parse(line))).toMatchFileSnapshot(fixture(`request-${verb}`))
  })
  test.each(Object.entries(results))('result %s', async (verb, event) => {
    await expect(pretty(event)).toMatchFileSnapshot(fixture(`result-${verb}`))
  })
  test.each(Object.entries(events))('event %s', async (name, event) => {
    await expect(pretty(event)).toMatchFileSnapshot(fixture(`event-${name}`))
  })
  test('container state', async () => {
    await expect(pretty(state)).toMatchFileSnapshot(fixture('container-state'))
  })
  test('every fixture belongs to a message', () => {
    const known = [
      ...Object.keys(requests).map((verb) => `request-${verb}`),
      ...Object.keys(results).map((verb) => `result-${verb}`),
      ...Object.keys(events).map((name) => `event-${name}`),
      'container-state',
    ]
    expect(
      readdirSync(fixtures)
        .map((file) => basename(file, '.json'))
        .sort(),
    ).toEqual(known.sort())
  })
})

test('descriptors are numbered from 5 on, each once, in the order in which they appear', () => {
  const { line, fds } = encodeRequest<'diff'>({ ...requests.diff, upper: { fd: 9 }, under: [], lowers: [{ fd: 4 }, { fd: 9, path: 'x' }] })
  expect(fds).toEqual([9, 4, 17])
  expect(JSON.parse(line)).toMatchObject({
    version: 1,
    verb: 'diff',
    upper: { fd: 5 },
    lowers: [{ fd: 6 }, { fd: 5, path: 'x' }],
    layer: { blob: { fd: 7 } },
  })
  expect(line.indexOf('\n')).toBe(line.length - 1)
})
