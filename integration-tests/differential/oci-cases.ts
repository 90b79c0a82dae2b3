/** Bundles that runtimes are compared with: changes to one that does nothing in particular. */

type Json = Record<string, unknown>
export interface Config extends Json {
  readonly process: Json & { capabilities?: Record<string, string[]> }
  readonly root: Json
  readonly mounts: Json[]
  readonly linux: Json & { namespaces: { type: string; path?: string }[] }
}

export interface Case {
  readonly name: string
  readonly change: (config: Config) => void
}

const defaultCapabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']

/** What `runc spec` writes, but for the terminal, with a program that says what it sees. */
export function plain(args: readonly string[]): Config {
  const sets = ['bounding', 'effective', 'permitted']
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: Object.fromEntries(sets.map((set) => [set, [...defaultCapabilities]])),
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs' },
    hostname: 'box',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    ],
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware', '/proc/scsi'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}

const of = (name: string, change: Case['change']): Case => ({ name, change })
const process = (name: string, more: Json): Case => of(name, (config) => void Object.assign(config.process, more))
const linux = (name: string, more: Json): Case => of(name, (config) => void Object.assign(config.linux, more))
const mount = (name: string, options: readonly string[], more: Json = {}): Case =>
  of(name, ({ mounts }) => void mounts.push({ destination: '/w', type: 'tmpfs', source: 'tmpfs', options, ...more }))
const bind = (name: string, options: readonly string[], source = 'shared', destination = '/w'): Case =>
  mount(name, options, { type: 'bind', source, destination })
const capabilities = (name: string, sets: readonly string[], names: readonly string[], uid = 0): Case =>
  process(name, { user: { uid, gid: uid }, capabilities: Object.fromEntries(sets.map((set) => [set, names])) })
const rlimit = (name: string, soft: number, hard: number): Case =>
  process(`limit ${name}`, { rlimits: [{ type: `RLIMIT_${name}`, soft, hard }] })
const without = (name: string, ...types: readonly string[]): Case =>
  of(name, (config) => {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => !types.includes(type))
    if (types.includes('uts')) delete config['hostname']
    if (types.includes('ipc')) config.mounts.splice(4, 1)
  })
const userNamespace = (name: string, change: Case['change'] = () => {}): Case =>
  of(name, (config) => {
    config.linux.namespaces.push({ type: 'user' })
    const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
    Object.assign(config.linux, { uidMappings: map, gidMappings: map })
    change(config)
  })
const errno = (name: string, syscall: Json, more: Json = {}): Case =>
  linux(name, {
    seccomp: {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
      syscalls: [{ action: 'SCMP_ACT_ERRNO', ...syscall }],
      ...more,
    },
  })

export const cases: readonly Case[] = [
  of('plain', () => {}),
  of('read-only root', (config) => void (config.root['readonly'] = true)),
  of('another host name and domain', (config) => void Object.assign(config, { hostname: 'other', domainname: 'dom' })),
  of('unknown properties', (config) => void Object.assign(config, { 'x-unknown': { a: 1 }, annotations: { a: 'b' } })),

  process('another user', { user: { uid: 1000, gid: 100, umask: 0o27, additionalGids: [5, 7] } }),
  process('a user without groups', { user: { uid: 1, gid: 1 } }),
  process('a umask', { user: { uid: 0, gid: 0, umask: 0o77 } }),
  process('an environment', { env: ['PATH=/bin', 'A=1', 'B=x y', 'HOME=/w', 'A=2'] }),
  process('an empty variable', { env: ['PATH=/bin', 'EMPTY=', 'HOME=/root'] }),
  process('another directory', { cwd: '/tmp' }),
  process('a directory that is not there', { cwd: '/made/here' }),
  process('privileges can be gained', { noNewPrivileges: false }),
  process('the OOM killer likes it', { oomScoreAdj: 321 }),
  process('status 0', { args: ['true'] }),
  process('status 200', { args: ['sh', '-c', 'exit 200'] }),
  process('killed by itself', { args: ['sh', '-c', 'kill -9 $$'] }),
  process('a path for a program', { args: ['/bin/id'] }),

  capabilities('no capabilities', [], []),
  capabilities('several capabilities', ['bounding', 'effective', 'permitted'], ['CAP_CHOWN', 'CAP_NET_RAW', 'CAP_SETUID', 'CAP_MKNOD']),
  capabilities('ambient ones of a user', ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'], ['CAP_KILL'], 1000),
  capabilities('bounding alone', ['bounding'], ['CAP_CHOWN', 'CAP_SYS_ADMIN']),
  capabilities('inheritable', ['bounding', 'effective', 'permitted', 'inheritable'], ['CAP_NET_ADMIN']),
  capabilities('effective ones of a user', ['bounding', 'effective', 'permitted'], ['CAP_KILL'], 1000),

  process('no limits', { rlimits: [] }),
  rlimit('NOFILE', 50, 60),
  rlimit('CORE', 0, 0),
  rlimit('STACK', 1 << 20, 1 << 23),
  rlimit('CPU', 100, 200),
  rlimit('FSIZE', 1 << 20, 1 << 20),
  rlimit('MEMLOCK', 0, 65_536),
  rlimit('AS', 2 ** 30, 2 ** 31),

  bind('a bind', ['rbind']),
  bind('a read-only bind', ['rbind', 'ro']),
  bind('a bind with all that can be taken away', ['bind', 'ro', 'nosuid', 'nodev', 'noexec', 'noatime']),
  bind('a private bind', ['rbind', 'rprivate']),
  bind('a bind that changes come to', ['rbind', 'rslave']),
  bind('a file', ['bind', 'ro'], 'shared/file', '/etc/file'),
  bind('a bind into a directory that is not there', ['rbind'], 'shared', '/a/b/c'),
  mount('memory', ['size=64k', 'mode=700', 'nosuid', 'nodev']),
  mount('memory with its own mode', ['nosuid']),
  mount('read-only memory', ['ro', 'noexec', 'mode=755']),
  mount('memory without times', ['noatime', 'nodiratime']),
  mount('strict times', ['strictatime']),
  mount('memory over what is there', ['mode=755'], { destination: '/etc' }),
  of('mounts on mounts', ({ mounts }) => {
    mounts.push({ destination: '/w', type: 'tmpfs', source: 'one', options: ['mode=755'] })
    mounts.push({ destination: '/w/inner', type: 'tmpfs', source: 'two', options: ['mode=711'] })
  }),

  linux('private propagation', { rootfsPropagation: 'rprivate' }),
  linux('slave propagation', { rootfsPropagation: 'rslave' }),
  linux('nothing is masked', { maskedPaths: [], readonlyPaths: [] }),
  linux('other masks', { maskedPaths: ['/etc', '/bin/busybox2', '/nothing'], readonlyPaths: ['/tmp', '/none'] }),
  linux('devices', {
    devices: [
      { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 5 },
      { path: '/dev/pipe', type: 'p', fileMode: 0o644 },
      { path: '/dev/deep/er', type: 'c', major: 1, minor: 3, fileMode: 0o600, uid: 7, gid: 8 },
    ],
  }),
  linux('settings of the kernel', { sysctl: { 'net.ipv4.ip_forward': '1', 'kernel.shmmax': '1000000', 'fs.mqueue.msg_max': '11' } }),
  linux('personality', { personality: { domain: 'LINUX32' } }),
  linux('a limit of processes', { cgroupsPath: '/stave-differential/one', resources: { pids: { limit: 77 } } }),
  linux('a limit of memory', { cgroupsPath: '/stave-differential/two', resources: { memory: { limit: 64 << 20 } } }),
  linux('shares of processors', {
    cgroupsPath: '/stave-differential/three',
    resources: { cpu: { shares: 512, quota: 50_000, period: 100_000 } },
  }),

  without('the network of the machine', 'network'),
  without('the machine’s names and queues', 'ipc', 'uts'),
  without('the processes of the machine', 'pid'),
  of('a control group namespace', ({ linux: { namespaces } }) => void namespaces.push({ type: 'cgroup' })),
  userNamespace('a user namespace'),
  userNamespace('a user in a user namespace', (config) => void Object.assign(config.process, { user: { uid: 1000, gid: 1000 } })),

  errno('a call is refused', { names: ['getcwd'] }),
  errno('a call is refused in its own way', { names: ['getcwd'], errnoRet: 71 }),
  errno('a call with an argument', { names: ['kill'], args: [{ index: 1, value: 15, op: 'SCMP_CMP_EQ' }] }),
]
