import type { BuildOptions, Sandbox } from '#builder/options.ts'
import { chooseCapabilities } from '#sandbox/capability.ts'
import { parseVolume } from '#container/mount.ts'
import { parseBytes, parseDevice } from '#container/unit.ts'
import { StaveError } from '#error.ts'
import { attributes, refuseUnknown, type Attributes } from '../attributes.ts'
import type { Values } from '../command.ts'
import { securityOptions } from '../containers/options.ts'
import type { Settings } from '../settings.ts'
import type { buildFlags } from './flags.ts'

type BuildFlags = Values<typeof buildFlags>

/** What RUN may use and do, as docker build, buildah and buildx say it. @throws StaveError `usage` */
export function sandboxOf(flags: BuildFlags, settings: Settings): Pick<BuildOptions, 'sandbox'> {
  const resources = resourcesOf(flags)
  const binds = flags.volume.map((text) => bindOf(text, settings.cwd))
  const chosen = chooseCapabilities(flags['cap-add'], flags['cap-drop'])
  const sandbox: Sandbox = {
    ...(Object.keys(resources).length > 0 && { resources }),
    ...(flags['cap-add'].length + flags['cap-drop'].length > 0 && {
      capabilities: chosen,
    }),
    ...securityOptions(flags['security-opt'], chosen, settings),
    ...(flags.device.length > 0 && { devices: flags.device.map((text) => parseDevice(text)) }),
    ...(binds.length > 0 && { binds }),
    ...resolverOf(flags),
    ...(flags['no-hosts'] && { ownHosts: true }),
  }
  return Object.keys(sandbox).length === 0 ? {} : { sandbox }
}

/** `-v` of a build is a path of this machine: nothing would be left of a volume's name in the image. */
function bindOf(text: string, cwd: string): NonNullable<Sandbox['binds']>[number] {
  const mount = parseVolume(text, cwd)
  if (mount.type !== 'bind') {
    throw new StaveError('usage', `--volume ${text}: a build has no volumes`, {
      hint: 'Name a path: --volume /host/path:/path. For what is to be kept between builds, there is RUN --mount=type=cache.',
    })
  }
  return { source: mount.source, target: mount.target, readonly: mount.readonly ?? false }
}

const resourceKeys = ['memory', 'memory-swap', 'cpus', 'cpu-period', 'cpu-quota', 'cpu-shares', 'cpuset-cpus']

/** The flags of their own, and those of `--resource memory=1g,…`. */
function resourcesOf(flags: BuildFlags): NonNullable<Sandbox['resources']> {
  const given: Record<string, string> = {}
  for (const text of flags.resource) {
    const more = attributes(text, '--resource')
    refuseUnknown(more, resourceKeys, `--resource ${text}`)
    Object.assign(given, more)
  }
  for (const key of resourceKeys) {
    const value = flags[key as keyof BuildFlags]
    if (value !== undefined) given[key] = String(value)
  }
  const cpus = cpusOf(given)
  const swap = given['memory-swap']
  return {
    ...(given['memory'] !== undefined && { memoryBytes: parseBytes(given['memory'], '--memory') }),
    ...(swap !== undefined && { memorySwapBytes: swap === '-1' ? -1 : parseBytes(swap, '--memory-swap') }),
    ...(cpus !== undefined && { cpus }),
    ...(given['cpu-shares'] !== undefined && { cpuShares: positive(given['cpu-shares'], '--cpu-shares') }),
    ...(given['cpuset-cpus'] !== undefined && { cpusetCpus: cpuList(given['cpuset-cpus']) }),
  }
}

/** A quota is so much of each period (100 ms unless it is said). */
function cpusOf(given: Attributes): number | undefined {
  if (given['cpus'] !== undefined) return positive(given['cpus'], '--cpus')
  const quota = given['cpu-quota']
  if (quota === undefined || Number(quota) <= 0) return undefined
  return positive(quota, '--cpu-quota') / positive(given['cpu-period'] ?? '100000', '--cpu-period')
}

function positive(text: string, flag: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new StaveError('usage', `stave build: ${flag} takes a number above 0, not ${JSON.stringify(text)}`)
  return value
}

function cpuList(text: string): string {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) {
    throw new StaveError('usage', `stave build: --cpuset-cpus takes a list such as 0-1,3, not ${JSON.stringify(text)}`)
  }
  return text
}

function resolverOf(flags: BuildFlags): Pick<Sandbox, 'resolver'> {
  const { dns, 'dns-search': search, 'dns-option': options } = flags
  const bad = [...dns, ...search, ...options].find((word) => !/^\S+$/.test(word))
  if (bad !== undefined) throw new StaveError('usage', `stave build: ${JSON.stringify(bad)} cannot be in resolv.conf`)
  const resolver = {
    ...(dns.length > 0 && { nameserver: dns }),
    ...(search.length > 0 && { search }),
    ...(options.length > 0 && { options }),
  }
  return Object.keys(resolver).length === 0 ? {} : { resolver }
}
