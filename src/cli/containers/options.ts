import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { chooseCapabilities } from '#sandbox/capability.ts'
import { parseMount } from '#container/mount-fields.ts'
import { parseTmpfs, parseVolume } from '#container/mount.ts'
import type { CreateOptions } from '#container/container.ts'
import type { NetworkSettings } from '#container/network.ts'
import { checkHostName, parseNetworks } from '#network/choice.ts'
import { parseExposed, parsePorts } from '#network/port.ts'
import { parseRestart } from '#container/restart.ts'
import type { ContainerOptions } from '#container/spec.ts'
import { parseBytes } from '#text/size.ts'
import { parseDevice } from '#sandbox/device.ts'
import { parseUlimit } from '#sandbox/ulimit.ts'
import type { Values } from '../command.ts'
import { environmentWords, keyValues, readEnvFile, readLabelFile } from '../key-values.ts'
import type { Settings } from '../settings.ts'
import { findRuntime } from '../oci-runtime.ts'
import { healthOptions } from './health-flags.ts'
import { limitsOf, parseDeviceRule } from './limits.ts'
import { logSettings } from './log-settings.ts'
import { securityOptions } from './security.ts'
import type { createFlags } from './create-flags.ts'
import type { networkFlags } from './network-flags.ts'

/** What the flags of `run` and `create` mean. @throws StaveError `usage` */
export function containerOptions(flags: Values<typeof createFlags>, command: readonly string[], settings: Settings): CreateOptions {
  const runtime = findRuntime(flags.runtime, settings)
  const log = logSettings(flags, settings)
  const restart = flags.restart === undefined ? undefined : parseRestart(flags.restart)
  const mounts = [
    ...flags.volume.map((text) => parseVolume(text, settings.cwd)),
    ...flags.mount.map((text) => parseMount(text, settings.cwd)),
    ...flags.tmpfs.map((text) => parseTmpfs(text)),
  ]
  const security = securityOptions(flags['security-opt'], chooseCapabilities(flags['cap-add'], flags['cap-drop']), settings)
  return {
    ...(command.length > 0 && { command }),
    ...(flags.entrypoint !== undefined && { entrypoint: entrypointOf(flags.entrypoint) }),
    ...(flags['env-host'] && { callerEnv: Object.entries(settings.env).map(([name, value = '']) => `${name}=${value}`) }),
    ...(flags['unsetenv-all'] ? { unsetEnv: 'all' as const } : { unsetEnv: flags.unsetenv }),
    env: [
      ...proxyVariables(flags['http-proxy'] ?? false, settings),
      ...flags['env-file'].flatMap((file) => readEnvFile(file, settings)),
      ...environmentWords(flags.env, settings),
    ],
    ...(flags.workdir !== undefined && { workdir: flags.workdir }),
    ...(flags.user !== undefined && { user: flags.user }),
    ...(flags.hostname !== undefined && { hostname: flags.hostname }),
    groups: flags['group-add'],
    terminal: flags.tty ?? false,
    interactive: flags.interactive ?? false,
    readonly: flags['read-only'] ?? false,
    readonlyTmpfs: flags['read-only-tmpfs'] ?? false,
    imageVolumes: imageVolumesOf(flags['image-volume']),
    imageFiles: [...(flags['no-hosts'] ? (['hosts'] as const) : []), ...(flags['no-hostname'] ? (['hostname'] as const) : [])],
    ...(flags.tz !== undefined && flags.tz !== '' && { localtime: zoneFile(flags.tz) }),
    ...(restart !== undefined && { restart }),
    ...(runtime !== undefined && { runtime }),
    health: healthOptions(flags),
    ...(flags.annotation.length > 0 && { annotations: keyValues(flags.annotation, '--annotation') }),
    ...(flags.pidfile !== undefined && { pidFile: resolve(settings.cwd, flags.pidfile) }),
    init: flags.init ?? false,
    privileged: flags.privileged ?? false,
    ...security,
    network: networkSettings(flags),
    publishAll: flags['publish-all'] ?? false,
    exposed: parseExposed(flags.expose),
    ...namespacesOf(flags),
    capAdd: flags['cap-add'],
    capDrop: flags['cap-drop'],
    mounts,
    devices: flags.device.map((text) => parseDevice(text)),
    ulimits: flags.ulimit.map((text) => parseUlimit(text)),
    resources: limitsOf(flags, flags['cgroup-conf']),
    ...(flags['device-cgroup-rule'].length > 0 && { deviceRules: flags['device-cgroup-rule'].map(parseDeviceRule) }),
    ...(flags.umask !== undefined && { umask: umaskOf(flags.umask) }),
    ...(Boolean(flags['cgroup-parent']) && { cgroupParent: flags['cgroup-parent']! }),
    ...(flags.cgroupns === 'host' && { cgroupns: 'host' as const }),
    ...(flags['shm-size'] !== undefined && { shmBytes: parseBytes(flags['shm-size'], '--shm-size') }),
    sysctl: keyValues(flags.sysctl, '--sysctl'),
    labels: keyValues([...flags['label-file'].flatMap((file) => readLabelFile(file, settings)), ...flags.label], '--label'),
    ...(flags['stop-signal'] !== undefined && { stopSignal: flags['stop-signal'] }),
    ...(flags['stop-timeout'] !== undefined && { stopTimeout: flags['stop-timeout'] }),
    ...timeLimit(flags.timeout),
    ...(flags['oom-score-adj'] !== undefined && { oomScoreAdj: flags['oom-score-adj'] }),
    ...(flags.name !== undefined && { name: flags.name }),
    autoRemove: flags.rm ?? false,
    ...(log === false ? { log } : { logSettings: log }),
  }
}

/** What the flags about networks mean. @throws StaveError `usage` */
export function networkSettings(flags: Values<typeof networkFlags>): NetworkSettings {
  const { ip, ip6, 'mac-address': mac, domainname } = flags
  return {
    choice: parseNetworks(flags.network, {
      aliases: flags['network-alias'],
      ...(ip !== undefined && { ip }),
      ...(ip6 !== undefined && { ip6 }),
      ...(mac !== undefined && { mac }),
    }),
    ports: parsePorts(flags.publish),
    ...(domainname !== undefined && domainname !== '' && { domainname: checkHostName(domainname, '--domainname') }),
    addHosts: flags['add-host'].map(hostOf),
    resolver: { nameservers: flags.dns.map(addressOf), searchDomains: flags['dns-search'], options: flags['dns-option'] },
  }
}

/** podman's `bind` is an older word for what `anonymous` is. */
function imageVolumesOf(text: string | undefined): NonNullable<ContainerOptions['imageVolumes']> {
  return text === 'tmpfs' || text === 'ignore' ? text : 'anonymous'
}

const proxyNames = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy']

function proxyVariables(wanted: boolean, { env }: Settings): string[] {
  if (!wanted) return []
  return [...proxyNames, ...proxyNames.map((name) => name.toUpperCase())].flatMap((name) =>
    env[name] === undefined ? [] : [`${name}=${env[name]}`],
  )
}

/** The rules of a time zone, from this machine. */
function zoneFile(zone: string): Buffer {
  const isName = /^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/.test(zone)
  const path = zone === 'local' ? '/etc/localtime' : `/usr/share/zoneinfo/${zone}`
  try {
    if (isName) return readFileSync(path)
  } catch (error) {
    if (!['ENOENT', 'EISDIR', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))) throw error
  }
  throw new StaveError('usage', `--tz ${zone}: this machine knows no such time zone`, {
    hint: `Zones are names such as Europe/Berlin, and local. The package tzdata has them, in ${dirname(path)}.`,
  })
}

function umaskOf(text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8)
  throw new StaveError('usage', `--umask takes an octal number such as 027, not ${JSON.stringify(text)}`)
}

/** Of a namespace: the machine's, one of its own, or that of another container. @throws StaveError `usage` */
function namespacesOf({
  pid,
  ipc,
  uts,
}: Pick<Values<typeof createFlags>, 'pid' | 'ipc' | 'uts'>): Pick<CreateOptions, 'pid' | 'ipc' | 'uts' | 'joins'> {
  const joins: Record<string, string> = {}
  const choice = (kind: string, word: string | undefined): 'private' | 'host' => {
    const [, other] = /^container:(.+)$/.exec(word ?? '') ?? []
    if (other !== undefined) joins[kind] = other
    else if (word === 'host') return 'host'
    else if (!['', 'private', ...(kind === 'ipc' ? ['shareable', 'none'] : [])].includes(word ?? ''))
      throw new StaveError('usage', `--${kind} takes host, private or container:NAME, not ${JSON.stringify(word)}`)

    return 'private'
  }
  return { pid: choice('pid', pid), ipc: choice('ipc', ipc), uts: choice('uts', uts), joins }
}

/** Zero is no limit (podman's rule). */
function timeLimit(seconds: number | undefined): { timeout?: number } {
  if (seconds === undefined || seconds === 0) return {}
  if (seconds > 0) return { timeout: seconds }
  throw new StaveError('usage', `--timeout takes a number of seconds, not ${seconds}`)
}

/** One command, or a JSON array of its words; empty resets the image's. */
export function entrypointOf(text: string): readonly string[] {
  if (!text.startsWith('[')) return text === '' ? [] : [text]
  try {
    const words = JSON.parse(text) as unknown
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words
  } catch {
    // a command whose name begins with a bracket
  }
  return [text]
}

function addressOf(text: string): string {
  if (isIP(text) !== 0) return text
  throw new StaveError('usage', `--dns takes the address of a name server, not ${JSON.stringify(text)}`)
}

/** `HOST:IP`, where the address may be IPv6. */
export function hostOf(text: string): { host: string; address: string } {
  const [host = '', address = ''] = text.split(/[:=](.*)/s)
  if (host === '' || !/^(\[?[0-9a-fA-F:.]+\]?|host-gateway)$/.test(address))
    throw new StaveError('usage', `--add-host takes HOST:IP, not ${JSON.stringify(text)}`)
  return { host, address: address.replace(/^\[|\]$/g, '') }
}
