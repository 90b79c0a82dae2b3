import { StaveError } from '#error.ts'
import type { Endpoint, Hosts } from '#registry/client/hosts.ts'
import type { Values } from '../command.ts'
import type { kanikoFlags } from './kaniko-flags.ts'

/** Mirrors and registries without verified TLS, as kaniko's flags name them, before what registries.conf says. */
export function withKanikoRegistries(flags: Values<typeof kanikoFlags>): (hosts: Hosts) => Hosts {
  const mirrors = mirrorsOf(flags)
  const insecure = new Set([...flags['insecure-registry'], ...flags['skip-tls-verify-registry']].map(canonical))
  const trusting = (endpoint: Endpoint): Endpoint =>
    insecure.has(endpoint.registry) || insecure.has(endpoint.host) ? { ...endpoint, isInsecure: true } : endpoint
  return (hosts) => ({
    ...hosts,
    endpoints: (registry, repository, tag) =>
      [
        ...(mirrors.get(canonical(registry)) ?? []).map((location) => mirrorAt(location, repository)),
        ...hosts.endpoints(registry, repository, tag),
      ].map(trusting),
  })
}

function mirrorAt(location: string, repository: string): Endpoint {
  const [host = '', ...path] = location.split('/')
  return { host, registry: host, repository: [...path, repository].join('/'), isInsecure: false, isMirror: true, serves: 'all' }
}

/** `--registry-mirror HOST` is one of Docker Hub; `--registry-map FROM=TO;FROM=TO` of any. */
function mirrorsOf(flags: Values<typeof kanikoFlags>): ReadonlyMap<string, readonly string[]> {
  const mirrors = new Map<string, string[]>()
  const add = (registry: string, location: string): void => {
    const places = mirrors.get(canonical(registry)) ?? []
    mirrors.set(canonical(registry), [...places, location.replace(/\/+$/, '')])
  }
  for (const pair of flags['registry-map'].flatMap((text) => text.split(';')).filter((text) => text !== '')) {
    const [from = '', to = ''] = pair.split(/=(.*)/s)
    if (from === '' || to === '')
      throw new StaveError('usage', `stave kaniko: --registry-map takes FROM=TO;FROM=TO, not ${JSON.stringify(pair)}`)
    add(from, to)
  }
  for (const location of flags['registry-mirror']) add('docker.io', location)
  return mirrors
}

function canonical(registry: string): string {
  return registry === 'index.docker.io' || registry === 'registry-1.docker.io' ? 'docker.io' : registry
}
