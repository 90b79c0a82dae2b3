import type { BuildOptions, Sandbox } from '#builder/options.ts'
import { chooseCapabilities } from '#sandbox/capability.ts'
import { parseVolume } from '#container/mount.ts'
import { parseDevice } from '#sandbox/device.ts'
import { StaveError } from '#error.ts'
import { readResources, resourceFlags } from '#sandbox/resources.ts'
import { attributes, refuseUnknown } from '../attributes.ts'
import type { Values } from '../command.ts'
import { securityOptions } from '../containers/security.ts'
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

/** The flags of their own, and those of `--resource memory=1g,…`. */
function resourcesOf(flags: BuildFlags): NonNullable<Sandbox['resources']> {
  const given: Record<string, string> = {}
  for (const text of flags.resource) {
    const more = attributes(text, '--resource')
    refuseUnknown(more, resourceFlags, `--resource ${text}`)
    Object.assign(given, more)
  }
  for (const key of resourceFlags) {
    const value = flags[key as keyof BuildFlags]
    if (value !== undefined) given[key] = String(value)
  }
  return readResources(given)
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
