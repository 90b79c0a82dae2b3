import { StaveError } from '#error.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import type { DeviceRule, Resources, RunSpec } from '#runner/protocol.ts'
import { allCapabilities, chooseCapabilities } from '#sandbox/capability.ts'
import { cleanTarget, type MountOption } from './mount.ts'
import { withOwnName } from '#sandbox/names.ts'
import { checkSysctls } from '#sandbox/sysctl.ts'
import { parseSignal } from '#text/signal.ts'
import type { Device } from '#sandbox/device.ts'
import type { Ulimit } from '#sandbox/ulimit.ts'

/** What the flags of `run` and `create` say. */
export interface ContainerOptions {
  /** The arguments after the image. */
  readonly command?: readonly string[]
  /** `[]` removes the image's. */
  readonly entrypoint?: readonly string[]
  /** `KEY=value`. */
  readonly env?: readonly string[]
  /** The caller's whole environment: what the image says goes before it (podman's rule). */
  readonly callerEnv?: readonly string[]
  /** Variables that are left out of the image's. */
  readonly unsetEnv?: readonly string[] | 'all'
  readonly workdir?: string
  readonly user?: string
  readonly groups?: readonly string[]
  readonly hostname?: string
  readonly domainname?: string
  readonly terminal?: boolean
  readonly interactive?: boolean
  readonly readonly?: boolean
  /** With `readonly`: memory where programs usually write (podman's rule). */
  readonly readonlyTmpfs?: boolean
  readonly init?: boolean
  readonly privileged?: boolean
  readonly noNewPrivileges?: boolean
  /** `private` is connected to something when the container starts, `join` is somebody else's. Default: `host`. */
  readonly network?: 'host' | 'none' | 'private' | 'join'
  readonly pid?: 'private' | 'host'
  readonly ipc?: 'private' | 'host'
  readonly uts?: 'private' | 'host'
  readonly capAdd?: readonly string[]
  readonly capDrop?: readonly string[]
  readonly seccomp?: RunSpec['seccomp']
  readonly mounts?: readonly MountOption[]
  readonly devices?: readonly Device[]
  readonly ulimits?: readonly Ulimit[]
  readonly resources?: Resources
  readonly deviceRules?: readonly DeviceRule[]
  readonly umask?: number
  readonly cgroupns?: 'private' | 'host'
  readonly apparmor?: string
  /** Paths that are hidden besides the usual ones, and patterns of those that are not. */
  readonly mask?: readonly string[]
  readonly unmask?: readonly string[]
  readonly shmBytes?: number
  readonly sysctl?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly stopSignal?: string
  /** Seconds. */
  readonly stopTimeout?: number
  /** Seconds that it may run. */
  readonly timeout?: number
  readonly oomScoreAdj?: number
  /** What becomes of the volumes that the image declares. Default: anonymous volumes. */
  readonly imageVolumes?: 'anonymous' | 'tmpfs' | 'ignore'
  /** Contents for /etc/hosts and /etc/resolv.conf. */
  readonly files?: { readonly hosts?: string; readonly resolvConf?: string }
  /** Content for /etc/localtime. @see tzfile(5) */
  readonly localtime?: Buffer
  /** Names of files in /etc that are left as the image has them. */
  readonly imageFiles?: readonly ('hosts' | 'hostname')[]
  /** The host's own name: with the host's network, the container has it too. */
  readonly hostHostname?: string
}

export type ContentMount = { readonly type: 'content'; readonly target: string; readonly base64: string; readonly mode: number }
export type SpecMount = MountOption | ContentMount

/** A {@link RunSpec} that can be kept: its mounts name host paths and volumes instead of open descriptors. */
export type ContainerSpec = Omit<RunSpec, 'mounts'> & { readonly mounts: readonly SpecMount[] }

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Where programs usually write, in a root that is read-only. */
const writable = ['/run', '/tmp', '/var/tmp']
const defaultShmBytes = 64 * 1024 * 1024

/**
 * Merges an image's config and the flags, by Docker's rules, into what the runner starts. Pure.
 *
 * @param id The container's: its first twelve digits are the host name.
 * @throws StaveError `container-start` without a command, `usage`
 */
export function containerSpec(config: ExecutionConfig | undefined, options: ContainerOptions, id: string): ContainerSpec {
  const network = options.network ?? 'host'
  const uts = options.uts ?? 'private'
  const hostname = options.hostname ?? (network === 'host' || uts === 'host' ? options.hostHostname : undefined) ?? id.slice(0, 12)
  const ipc = options.ipc ?? 'private'
  const { user, workdir = config?.WorkingDir ?? '' } = options
  if (options.workdir !== undefined && !options.workdir.startsWith('/')) {
    throw new StaveError('usage', `cannot use the working directory ${JSON.stringify(options.workdir)}: it is not an absolute path`, {
      exitCode: 125,
    })
  }
  const stopSignal = options.stopSignal ?? config?.StopSignal
  if (stopSignal !== undefined) parseSignal(stopSignal)
  if (options.domainname !== undefined && uts === 'host')
    throw new StaveError('usage', '--domainname needs a UTS namespace of its own, and --uts host has none', { exitCode: 125 })
  const sysctl = { ...options.sysctl, ...(options.domainname !== undefined && { 'kernel.domainname': options.domainname }) }
  const namespaces = { network, pid: options.pid ?? 'private', ipc, uts, ...(options.cgroupns === 'host' && { cgroup: options.cgroupns }) }
  checkSysctls(options.sysctl ?? {}, namespaces)
  const chosenUser = user ?? config?.User ?? ''
  return {
    args: commandLine(config, options),
    env: environment(config?.Env ?? [], options, hostname),
    cwd: cleanTarget(workdir),
    makeCwd: true,
    ...(chosenUser !== '' && { user: chosenUser }),
    ...(options.groups !== undefined && options.groups.length > 0 && { additionalGroups: options.groups }),
    ...(uts === 'private' && { hostname }),
    ...(options.terminal && { terminal: true }),
    ...(options.interactive && { interactive: true }),
    namespaces,
    capabilities: options.privileged ? allCapabilities : chooseCapabilities(options.capAdd, options.capDrop),
    ...(options.noNewPrivileges && { noNewPrivileges: true }),
    seccomp: options.privileged ? 'unconfined' : (options.seccomp ?? 'default'),
    ...(options.privileged && { privileged: true }),
    mounts: mounts(config, options, hostname),
    ...(options.devices !== undefined && options.devices.length > 0 && { devices: options.devices }),
    ...(options.resources !== undefined && Object.keys(options.resources).length > 0 && { resources: options.resources }),
    ...(options.ulimits !== undefined && options.ulimits.length > 0 && { ulimits: options.ulimits }),
    ...(ipc === 'private' && { shmBytes: options.shmBytes ?? defaultShmBytes }),
    ...((options.sysctl !== undefined || options.domainname !== undefined) && { sysctl }),
    ...(options.init && { init: true }),
    ...(stopSignal !== undefined && { stopSignal }),
    ...(options.oomScoreAdj !== undefined && { oomScoreAdj: options.oomScoreAdj }),
    ...confinement(options),
  }
}

function confinement(options: ContainerOptions): Pick<RunSpec, 'umask' | 'deviceRules' | 'mask' | 'unmask' | 'apparmor'> {
  const { umask, deviceRules, mask, unmask, apparmor } = options
  return {
    ...(umask !== undefined && { umask }),
    ...(deviceRules !== undefined && { deviceRules }),
    ...(mask !== undefined && { mask }),
    ...(unmask !== undefined && { unmask }),
    ...(apparmor !== undefined && { apparmor }),
  }
}

/** A new entrypoint clears the image's Cmd as well (Docker, "docker run --entrypoint"). */
function commandLine(config: ExecutionConfig | undefined, options: ContainerOptions): string[] {
  const command = options.command ?? []
  const entrypoint = options.entrypoint ?? config?.Entrypoint ?? []
  const rest = command.length > 0 || options.entrypoint !== undefined ? command : (config?.Cmd ?? [])
  const args = [...entrypoint, ...rest]
  if (args.length > 0) return args
  throw new StaveError('container-start', 'cannot start a container: neither the image nor the command line names a command', {
    exitCode: 125,
    hint: 'Give one after the name of the image.',
  })
}

function environment(image: readonly string[], options: ContainerOptions, hostname: string): string[] {
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${hostname}`, ...(options.terminal ? ['TERM=xterm'] : [])]
  const { unsetEnv = [] } = options
  const kept = unsetEnv === 'all' ? [] : image.filter((entry) => !unsetEnv.includes(entry.split('=', 1)[0]!))
  return mergeEnv(defaults, options.callerEnv ?? [], kept, options.env ?? [])
}

/** Later lists win; a variable keeps the place where it was first set. */
export function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const merged = new Map<string, string>()
  for (const entry of lists.flat()) {
    const equals = entry.indexOf('=', 1)
    merged.set(equals < 0 ? entry : entry.slice(0, equals), equals < 0 ? `${entry}=` : entry)
  }
  return [...merged.values()]
}

function mounts(config: ExecutionConfig | undefined, options: ContainerOptions, hostname: string): SpecMount[] {
  const byTarget = new Map<string, SpecMount>()
  for (const mount of options.mounts ?? []) {
    if (byTarget.has(mount.target)) throw new StaveError('usage', `cannot mount two things on ${mount.target}`, { exitCode: 125 })
    byTarget.set(mount.target, mount)
  }
  for (const volume of Object.keys(config?.Volumes ?? {})) {
    const target = cleanTarget(volume)
    if (target === '/' || byTarget.has(target) || options.imageVolumes === 'ignore') continue
    byTarget.set(target, options.imageVolumes === 'tmpfs' ? { type: 'tmpfs', target } : { type: 'volume', target })
  }
  for (const target of options.readonly === true && options.readonlyTmpfs === true ? writable : [])
    if (!byTarget.has(target)) byTarget.set(target, { type: 'tmpfs', target, mode: 0o1777 })
  if (options.localtime !== undefined)
    byTarget.set('/etc/localtime', { type: 'content', target: '/etc/localtime', base64: options.localtime.toString('base64'), mode: 0o644 })
  const files: readonly (readonly [string, string | undefined])[] = [
    ['/etc/hosts', options.files?.hosts && withOwnName(options.files.hosts, hostname)],
    ['/etc/hostname', `${hostname}\n`],
    ['/etc/resolv.conf', options.files?.resolvConf],
  ]
  for (const [target, text] of files) {
    const isLeft = (options.imageFiles ?? []).some((name) => target === `/etc/${name}`)
    if (text === undefined || isLeft || byTarget.has(target)) continue
    byTarget.set(target, { type: 'content', target, base64: Buffer.from(text).toString('base64'), mode: 0o644 })
  }
  // A mount on /a must come before one on /a/b, or it would hide it.
  return [...byTarget.values()].sort((one, other) => depth(one.target) - depth(other.target))
}

function depth(target: string): number {
  return target.split('/').length
}
