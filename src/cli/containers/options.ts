import { isIP } from 'node:net'
import { release } from 'node:os'
import { StaveError } from '#error.ts'
import { chooseCapabilities } from '#sandbox/capability.ts'
import { hostFiles } from '#container/host.ts'
import { parseMount, parseTmpfs, parseVolume } from '#container/mount.ts'
import type { CreateOptions } from '#container/container.ts'
import type { ContainerOptions } from '#container/spec.ts'
import { parseSeccompProfile } from '#sandbox/seccomp.ts'
import { parseBytes, parseDevice, parseUlimit } from '#container/unit.ts'
import * as limit from '#limit.ts'
import type { Values } from '../command.ts'
import { environmentWords, keyValues, readEnvFile, readLabelFile, readSmallFile } from '../key-values.ts'
import type { Settings } from '../settings.ts'
import type { createFlags } from './commands.ts'

/** What the flags of `run` and `create` mean. @throws StaveError `usage` */
export function containerOptions(
  flags: Values<typeof createFlags>,
  command: readonly string[],
  settings: Settings,
): ContainerOptions & Pick<CreateOptions, 'name' | 'autoRemove' | 'log'> {
  const network = networkOf(flags.network)
  const mounts = [
    ...flags.volume.map((text) => parseVolume(text, settings.cwd)),
    ...flags.mount.map((text) => parseMount(text, settings.cwd)),
    ...flags.tmpfs.map((text) => parseTmpfs(text)),
  ]
  const security = securityOptions(flags['security-opt'], chooseCapabilities(flags['cap-add'], flags['cap-drop']), settings)
  return {
    ...(command.length > 0 && { command }),
    ...(flags.entrypoint !== undefined && { entrypoint: entrypointOf(flags.entrypoint) }),
    env: [...flags['env-file'].flatMap((file) => readEnvFile(file, settings)), ...environmentWords(flags.env, settings)],
    ...(flags.workdir !== undefined && { workdir: flags.workdir }),
    ...(flags.user !== undefined && { user: flags.user }),
    ...(flags.hostname !== undefined && { hostname: flags.hostname }),
    groups: flags['group-add'],
    terminal: flags.tty ?? false,
    interactive: flags.interactive ?? false,
    readonly: flags['read-only'] ?? false,
    init: flags.init ?? false,
    privileged: flags.privileged ?? false,
    ...security,
    network,
    ...(flags.pid !== undefined && { pid: flags.pid as 'host' | 'private' }),
    ...(flags.ipc !== undefined && { ipc: flags.ipc === 'host' ? 'host' : 'private' }),
    ...(flags.uts !== undefined && { uts: flags.uts as 'host' | 'private' }),
    capAdd: flags['cap-add'],
    capDrop: flags['cap-drop'],
    mounts,
    devices: flags.device.map((text) => parseDevice(text)),
    ulimits: flags.ulimit.map((text) => parseUlimit(text)),
    resources: resourcesOf(flags),
    ...(flags['shm-size'] !== undefined && { shmBytes: parseBytes(flags['shm-size'], '--shm-size') }),
    sysctl: keyValues(flags.sysctl, '--sysctl'),
    labels: keyValues([...flags['label-file'].flatMap((file) => readLabelFile(file, settings)), ...flags.label], '--label'),
    ...(flags['stop-signal'] !== undefined && { stopSignal: flags['stop-signal'] }),
    ...(flags['stop-timeout'] !== undefined && { stopTimeout: flags['stop-timeout'] }),
    ...(flags['oom-score-adj'] !== undefined && { oomScoreAdj: flags['oom-score-adj'] }),
    ...hostFiles(network, {
      addHosts: flags['add-host'].map(hostOf),
      nameservers: flags.dns.map(addressOf),
      searchDomains: flags['dns-search'],
      resolverOptions: flags['dns-option'],
    }),
    ...(flags.name !== undefined && { name: flags.name }),
    autoRemove: flags.rm ?? false,
    ...(flags['log-driver'] === 'none' && { log: false }),
  }
}

/** Zero is no limit, in all of them (Docker's rule). @throws StaveError `usage` for limits that exclude each other */
function resourcesOf(flags: Values<typeof createFlags>): NonNullable<ContainerOptions['resources']> {
  const memoryBytes = flags.memory === undefined ? 0 : parseBytes(flags.memory, '--memory')
  const swap = flags['memory-swap']
  const memorySwapBytes = swap === undefined ? 0 : swap === '-1' ? -1 : parseBytes(swap, '--memory-swap')
  if (memorySwapBytes > 0 && memoryBytes === 0) {
    throw new StaveError('usage', '--memory-swap limits memory and swap together, and needs --memory beside it')
  }
  if (memorySwapBytes > 0 && memorySwapBytes < memoryBytes) {
    throw new StaveError('usage', `--memory-swap ${swap} is below --memory ${flags.memory}`, {
      hint: 'It is the sum of both: with the same value there is no swap.',
    })
  }
  return {
    ...(memoryBytes > 0 && { memoryBytes }),
    ...(memorySwapBytes !== 0 && { memorySwapBytes }),
    ...processorsOf(flags),
    ...(flags['cpu-shares'] && { cpuShares: flags['cpu-shares'] }),
    ...(flags['cpuset-cpus'] && { cpusetCpus: flags['cpuset-cpus'] }),
    ...(flags['pids-limit'] !== undefined && flags['pids-limit'] > 0 && { pids: flags['pids-limit'] }),
  }
}

/** `--cpus`, or the same in the older words: so many microseconds of each period. */
function processorsOf(flags: Values<typeof createFlags>): { cpus?: number } {
  const { 'cpu-quota': quota, 'cpu-period': period = 100_000, cpus } = flags
  if (quota !== undefined && cpus !== undefined) throw new StaveError('usage', '--cpus and --cpu-quota exclude each other')
  if (period < 1000 || period > 1_000_000) throw new StaveError('usage', `--cpu-period takes 1000 to 1000000, not ${period}`)
  const chosen = cpus ?? (quota === undefined || quota < 0 ? 0 : quota / period)
  if (chosen < 0) throw new StaveError('usage', `--cpus takes a number above zero, not ${chosen}`)
  return chosen === 0 ? {} : { cpus: chosen }
}

function networkOf(text: string | undefined): 'host' | 'none' {
  if (text === undefined || text === 'host') return 'host'
  if (text === 'none') return 'none'
  throw new StaveError('usage', `--network takes host or none, not ${JSON.stringify(text)}`, {
    hint: 'With host the container shares the network of this machine; with none it has only its own loopback.',
  })
}

/** One command, or a JSON array of its words; empty resets the image's. */
function entrypointOf(text: string): readonly string[] {
  if (!text.startsWith('[')) return text === '' ? [] : [text]
  try {
    const words = JSON.parse(text) as unknown
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words
  } catch {
    // a command whose name begins with a bracket
  }
  return [text]
}

/**
 * `--security-opt`.
 *
 * @param capabilities Those that the container will have: parts of a profile hold with some only.
 * @throws StaveError `usage`
 */
export function securityOptions(
  words: readonly string[],
  capabilities: readonly string[],
  settings: Settings,
): Pick<ContainerOptions, 'noNewPrivileges' | 'seccomp'> {
  let options: Pick<ContainerOptions, 'noNewPrivileges' | 'seccomp'> = {}
  for (const word of words) {
    const [key, value = ''] = word.split(/[=:](.*)/s)
    if (key === 'no-new-privileges') options = { ...options, noNewPrivileges: value !== 'false' }
    else if (key === 'seccomp') options = { ...options, seccomp: seccompOf(value, capabilities, settings) }
    else if ((key === 'label' || key === 'apparmor') && ['disable', 'unconfined', ''].includes(value)) continue
    else {
      throw new StaveError('usage', `--security-opt ${word} is not understood`, {
        hint: 'There are no-new-privileges, seccomp=unconfined and seccomp=FILE.',
      })
    }
  }
  return options
}

function seccompOf(value: string, capabilities: readonly string[], settings: Settings): NonNullable<ContainerOptions['seccomp']> {
  if (value === 'unconfined') return value
  if (['default', 'builtin', ''].includes(value)) return 'default'
  const text = Buffer.from(readSmallFile(value, settings, limit.jsonBytes))
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return parseSeccompProfile(text, value, { capabilities, architecture, kernel: release() })
}

function addressOf(text: string): string {
  if (isIP(text) !== 0) return text
  throw new StaveError('usage', `--dns takes the address of a name server, not ${JSON.stringify(text)}`)
}

/** `HOST:IP`, where the address may be IPv6. */
export function hostOf(text: string): { host: string; address: string } {
  const [host = '', address = ''] = text.split(/[:=](.*)/s)
  if (host === '' || !/^(\[?[0-9a-fA-F:.]+\]?|host-gateway)$/.test(address)) {
    throw new StaveError('usage', `--add-host takes HOST:IP, not ${JSON.stringify(text)}`)
  }
  return { host, address: address.replace(/^\[|\]$/g, '') }
}
