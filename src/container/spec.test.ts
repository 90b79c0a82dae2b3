import { describe, expect, test } from 'vitest'
import { allCapabilities, chooseCapabilities, defaultCapabilities } from '#sandbox/capability.ts'
import { cleanTarget, parseTmpfs, parseVolume } from './mount.ts'
import { parseMount } from './mount-fields.ts'
import { containerSpec, mergeEnv, type ContainerOptions } from './spec.ts'
import { parseBytes } from '#text/size.ts'
import { parseDevice } from '#sandbox/device.ts'
import { parseSignal } from '#text/signal.ts'
import { parseUlimit } from '#sandbox/ulimit.ts'

const id = '0123456789abcdef'.repeat(4)
const image = {
  Env: ['PATH=/opt/bin:/usr/bin', 'LANG=C.UTF-8'],
  Entrypoint: ['/entry'],
  Cmd: ['serve', '--now'],
  WorkingDir: '/srv/app/',
  User: 'app',
  StopSignal: 'SIGQUIT',
  Volumes: { '/data/': {}, '/var/lib/../cache': {} },
}
const message = (body: () => unknown) => {
  try {
    body()
    return 'no error'
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
}

test('an image without flags', () => {
  expect(containerSpec(image, {}, id)).toMatchInlineSnapshot(`
    {
      "args": [
        "/entry",
        "serve",
        "--now",
      ],
      "capabilities": [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
      ],
      "cwd": "/srv/app",
      "env": [
        "PATH=/opt/bin:/usr/bin",
        "HOSTNAME=0123456789ab",
        "LANG=C.UTF-8",
      ],
      "hostname": "0123456789ab",
      "makeCwd": true,
      "mounts": [
        {
          "target": "/data",
          "type": "volume",
        },
        {
          "target": "/var/cache",
          "type": "volume",
        },
        {
          "base64": "MDEyMzQ1Njc4OWFiCg==",
          "mode": 420,
          "target": "/etc/hostname",
          "type": "content",
        },
      ],
      "namespaces": {
        "ipc": "private",
        "network": "host",
        "pid": "private",
        "uts": "private",
      },
      "seccomp": "default",
      "shmBytes": 67108864,
      "stopSignal": "SIGQUIT",
      "user": "app",
    }
  `)
})

test('all flags', () => {
  const options: ContainerOptions = {
    command: ['run'],
    entrypoint: ['/other', '-x'],
    env: ['LANG=de_DE.UTF-8', 'EMPTY=', 'NEW=1'],
    workdir: '/work',
    user: '1000:1000',
    groups: ['audio'],
    hostname: 'box',
    terminal: true,
    interactive: true,
    readonly: true,
    init: true,
    noNewPrivileges: true,
    network: 'none',
    pid: 'host',
    capAdd: ['sys_admin'],
    capDrop: ['CAP_MKNOD', 'net_raw'],
    seccomp: 'unconfined',
    mounts: [parseVolume('/srv/data/x:/data/x:ro', '/'), parseVolume('cache:/data', '/'), parseTmpfs('/tmp:size=64m,mode=1777,noexec')],
    devices: [parseDevice('/dev/fuse')],
    ulimits: [parseUlimit('nofile=1024:2048')],
    resources: { memoryBytes: parseBytes('512m'), cpus: 1.5, pids: 100 },
    shmBytes: parseBytes('1g'),
    sysctl: { 'net.ipv4.ip_forward': '1' },
    stopSignal: 'SIGINT',
    oomScoreAdj: 500,
    files: { hosts: '127.0.0.1 localhost\n', resolvConf: 'nameserver 127.0.0.53\n' },
    hostHostname: 'machine',
  }
  expect(containerSpec(image, options, id)).toMatchInlineSnapshot(`
    {
      "additionalGroups": [
        "audio",
      ],
      "args": [
        "/other",
        "-x",
        "run",
      ],
      "capabilities": [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
        "CAP_SYS_ADMIN",
      ],
      "cwd": "/work",
      "devices": [
        {
          "access": "rwm",
          "path": "/dev/fuse",
          "target": "/dev/fuse",
        },
      ],
      "env": [
        "PATH=/opt/bin:/usr/bin",
        "HOSTNAME=box",
        "TERM=xterm",
        "LANG=de_DE.UTF-8",
        "EMPTY=",
        "NEW=1",
      ],
      "hostname": "box",
      "init": true,
      "interactive": true,
      "makeCwd": true,
      "mounts": [
        {
          "name": "cache",
          "target": "/data",
          "type": "volume",
        },
        {
          "mode": 1023,
          "options": [
            "noexec",
          ],
          "sizeBytes": 67108864,
          "target": "/tmp",
          "type": "tmpfs",
        },
        {
          "create": true,
          "readonly": true,
          "recursive": true,
          "source": "/srv/data/x",
          "target": "/data/x",
          "type": "bind",
        },
        {
          "target": "/var/cache",
          "type": "volume",
        },
        {
          "base64": "MTI3LjAuMC4xIGxvY2FsaG9zdAoxMjcuMC4xLjEJYm94Cg==",
          "mode": 420,
          "target": "/etc/hosts",
          "type": "content",
        },
        {
          "base64": "Ym94Cg==",
          "mode": 420,
          "target": "/etc/hostname",
          "type": "content",
        },
        {
          "base64": "bmFtZXNlcnZlciAxMjcuMC4wLjUzCg==",
          "mode": 420,
          "target": "/etc/resolv.conf",
          "type": "content",
        },
      ],
      "namespaces": {
        "ipc": "private",
        "network": "none",
        "pid": "host",
        "uts": "private",
      },
      "noNewPrivileges": true,
      "oomScoreAdj": 500,
      "resources": {
        "cpus": 1.5,
        "memoryBytes": 536870912,
        "pids": 100,
      },
      "seccomp": "unconfined",
      "shmBytes": 1073741824,
      "stopSignal": "SIGINT",
      "sysctl": {
        "net.ipv4.ip_forward": "1",
      },
      "terminal": true,
      "ulimits": [
        {
          "hard": 2048,
          "name": "nofile",
          "soft": 1024,
        },
      ],
      "user": "1000:1000",
    }
  `)
})

describe('the command line follows Docker', () => {
  const cases: readonly [name: string, config: { Entrypoint?: string[]; Cmd?: string[] }, options: ContainerOptions, expected: string[]][] =
    [
      ['both of the image', { Entrypoint: ['e'], Cmd: ['c'] }, {}, ['e', 'c']],
      ['arguments replace Cmd', { Entrypoint: ['e'], Cmd: ['c'] }, { command: ['x', 'y'] }, ['e', 'x', 'y']],
      ['a new entrypoint clears Cmd', { Entrypoint: ['e'], Cmd: ['c'] }, { entrypoint: ['n'] }, ['n']],
      ['a new entrypoint with arguments', { Entrypoint: ['e'], Cmd: ['c'] }, { entrypoint: ['n'], command: ['x'] }, ['n', 'x']],
      ['an empty entrypoint removes it', { Entrypoint: ['e'], Cmd: ['c'] }, { entrypoint: [], command: ['x'] }, ['x']],
      ['Cmd alone', { Cmd: ['c'] }, {}, ['c']],
    ]
  test.each(cases)('%s', (_, config, options, expected) => {
    expect(containerSpec(config, options, id).args).toEqual(expected)
  })
  test('without any, it cannot start', () => {
    expect(message(() => containerSpec({}, {}, id))).toContain('container-start: cannot start a container')
    expect(message(() => containerSpec({ Cmd: ['c'] }, { entrypoint: [] }, id))).toContain('container-start')
  })
})

test('the host name is the id, the host’s own, or what was asked for', () => {
  const name = (options: ContainerOptions) => containerSpec({ Cmd: ['c'] }, { hostHostname: 'machine', ...options }, id)
  expect(name({ network: 'none' }).hostname).toBe('0123456789ab')
  expect(name({}).hostname).toBe('machine')
  expect(name({}).env).toContain('HOSTNAME=machine')
  expect(name({ hostname: 'box' }).hostname).toBe('box')
  expect(name({ uts: 'host' }).hostname).toBeUndefined()
})

test('mounts: shallow ones first, those of the user instead of the image’s, each target once', () => {
  const spec = containerSpec(
    { Cmd: ['c'], Volumes: { '/a/b/c': {}, '/z': {}, '/': {} } },
    { mounts: [parseTmpfs('/z'), parseVolume('/host:/a', '/'), parseVolume('/h:/etc/hosts', '/')], files: { hosts: 'x' } },
    id,
  )
  expect(spec.mounts.map((mount) => `${mount.type} ${mount.target}`)).toEqual([
    'tmpfs /z',
    'bind /a',
    'bind /etc/hosts',
    'content /etc/hostname',
    'volume /a/b/c',
  ])
  expect(message(() => containerSpec({ Cmd: ['c'] }, { mounts: [parseTmpfs('/a'), parseTmpfs('/a/')] }, id))).toBe(
    'usage: cannot mount two things on /a',
  )
})

test('privileged has everything', () => {
  expect(containerSpec({ Cmd: ['c'] }, { privileged: true }, id)).toMatchObject({
    privileged: true,
    seccomp: 'unconfined',
    capabilities: allCapabilities,
  })
})

test('variables: the last one wins and keeps its place', () => {
  expect(mergeEnv(['A=1', 'B=1'], ['C=2', 'A=2=x'], ['B', '=odd'])).toEqual(['A=2=x', 'B=', 'C=2', '=odd='])
})

test('a relative working directory is refused', () => {
  expect(message(() => containerSpec({ Cmd: ['c'] }, { workdir: 'x' }, id))).toContain('not an absolute path')
})

describe('capabilities', () => {
  const names = (list: readonly string[]) => list.map((name) => name.replace('CAP_', '')).join(' ')
  test('Docker’s fourteen', () => {
    expect(defaultCapabilities).toHaveLength(14)
    expect(allCapabilities).toHaveLength(41)
    expect(chooseCapabilities()).toEqual(defaultCapabilities)
  })
  test.each([
    [['ALL'], [], 41],
    [['all'], ['SYS_ADMIN', 'cap_chown'], 39],
    [[], ['ALL'], 0],
    [['CAP_CHOWN', 'kill'], ['ALL'], 2],
    [['NET_ADMIN'], ['MKNOD'], 14],
    [['CHOWN'], [], 14],
  ])('add %j, drop %j', (add, drop, count) => {
    const chosen = chooseCapabilities(add, drop)
    expect(chosen, names(chosen)).toHaveLength(count)
    for (const name of chosen) expect(allCapabilities).toContain(name)
  })
  test('unknown', () => {
    expect(message(() => chooseCapabilities(['SYS_MAGIC']))).toBe('usage: cannot use capability "SYS_MAGIC": Linux has no such capability')
  })
})

describe('-v', () => {
  test.each([
    ['/h:/c', { type: 'bind', source: '/h', target: '/c', create: true, recursive: true }],
    ['./rel:/c:ro', { type: 'bind', source: '/cwd/rel', target: '/c', readonly: true, create: true, recursive: true }],
    ['..:/c/:rslave,z', { type: 'bind', source: '/', target: '/c', propagation: 'rslave', create: true, recursive: true }],
    ['name:/c:nocopy', { type: 'volume', name: 'name', target: '/c', nocopy: true }],
    ['/c//d/.', { type: 'volume', target: '/c/d' }],
  ])('%s', (text, expected) => {
    expect(parseVolume(text, '/cwd')).toEqual(expected)
  })
  test.each(['', ':/c', 'a:', 'a:b', '/h:c', '/h:/', '/h:/c:rw:x', '/h:/c:magic', 'na me:/c', '/'])('%j is refused', (text) => {
    expect(message(() => parseVolume(text, '/'))).toMatch(/^usage: /)
  })
})

describe('--mount', () => {
  test.each([
    ['type=bind,src=/h,dst=/c,ro', { type: 'bind', source: '/h', target: '/c', readonly: true, recursive: true }],
    [
      'type=bind,"source=/a,b",target=/c,bind-propagation=shared',
      { type: 'bind', source: '/a,b', target: '/c', propagation: 'shared', recursive: true },
    ],
    ['target=/c', { type: 'volume', target: '/c' }],
    [
      'type=volume,source=v,target=/c,readonly=true,volume-nocopy',
      { type: 'volume', name: 'v', target: '/c', readonly: true, nocopy: true },
    ],
    ['type=tmpfs,destination=/c,tmpfs-size=1k,tmpfs-mode=0700', { type: 'tmpfs', target: '/c', sizeBytes: 1024, mode: 0o700 }],
    ['type=tmpfs,"dst=/x""y"', { type: 'tmpfs', target: '/x"y' }],
  ])('%s', (text, expected) => {
    expect(parseMount(text, '/')).toEqual(expected)
  })
  test.each([
    '',
    'type=bind,target=/c',
    'type=magic,target=/c',
    'type=tmpfs,target=/c,source=/x',
    'target=/c,ro=maybe',
    'type=bind,source=/a,target=/c,bind-propagation=x',
    'type=tmpfs,dst=/x"y',
    'type=tmpfs,"dst=/x',
    'type=tmpfs,"dst=/x"y',
  ])('%j is refused', (text) => {
    expect(message(() => parseMount(text, '/'))).toMatch(/^usage: /)
  })
})

test('targets are cleaned and stay below the root', () => {
  expect(['/a/../../b', 'a//b/', '/', '/./x/.'].map(cleanTarget)).toEqual(['/b', '/a/b', '/', '/x'])
})

describe('units', () => {
  test.each([
    ['1024', 1024],
    ['1k', 1024],
    ['1.5g', 1_610_612_736],
    ['64KiB', 65_536],
    ['2 MB', 2_097_152],
    ['0', 0],
    ['7b', 7],
  ])('%s bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })
  test.each(['', 'k', '-1', '1x', '1kk', '9999999p', '1e3'])('%j is no size', (text) => {
    expect(message(() => parseBytes(text))).toMatch(/^usage: /)
  })
  test('ulimits', () => {
    expect(parseUlimit('nofile=10')).toEqual({ name: 'nofile', soft: 10, hard: 10 })
    expect(parseUlimit('core=0:unlimited')).toEqual({ name: 'core', soft: 0, hard: -1 })
    for (const text of ['nofile', 'magic=1', 'nofile=2:1', 'nofile=-1:5', 'nofile=x']) {
      expect(
        message(() => parseUlimit(text)),
        text,
      ).toMatch(/^usage: /)
    }
  })
  test('devices', () => {
    expect(parseDevice('/dev/a')).toEqual({ path: '/dev/a', target: '/dev/a', access: 'rwm' })
    expect(parseDevice('/dev/a:r')).toEqual({ path: '/dev/a', target: '/dev/a', access: 'r' })
    expect(parseDevice('/dev/a:/dev/b')).toEqual({ path: '/dev/a', target: '/dev/b', access: 'rwm' })
    expect(parseDevice('/dev/a:/dev/b:rw')).toEqual({ path: '/dev/a', target: '/dev/b', access: 'rw' })
    for (const text of ['dev/a', '/dev/a:b', '/dev/a:/dev/b:x', '/a:/b:r:w']) {
      expect(
        message(() => parseDevice(text)),
        text,
      ).toMatch(/^usage: /)
    }
  })
  test('signals', () => {
    expect(['SIGTERM', 'term', '9', 'SIGRTMIN+3', 'RTMAX-1', 'rtmin', 'SIGWINCH'].map(parseSignal)).toEqual([15, 15, 9, 37, 63, 34, 28])
    for (const text of ['', '0', '65', 'MAGIC', 'RTMIN+40']) {
      expect(
        message(() => parseSignal(text)),
        text,
      ).toMatch(/^usage: /)
    }
  })
})

test('a signal and kernel parameters are checked before a container is made', () => {
  expect(message(() => containerSpec({ ...image, StopSignal: 'SIGNONE' }, {}, id))).toMatch(/^usage: .*"SIGNONE"/)
  const sysctl = (name: string, options: ContainerOptions = {}) =>
    message(() => containerSpec(image, { ...options, sysctl: { [name]: '1' } }, id))
  expect(sysctl('net.core.somaxconn')).toMatch(/shares the network namespace/)
  expect(sysctl('net.core.somaxconn', { network: 'none' })).toBe('no error')
  expect(sysctl('kernel.shmmax')).toBe('no error')
  expect(sysctl('fs.mqueue.msg_max', { ipc: 'host' })).toMatch(/shares the ipc namespace/)
  expect(sysctl('kernel.core_pattern')).toMatch(/of the whole machine/)
})
