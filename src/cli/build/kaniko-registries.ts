import { StaveError } from '#error.ts'
import type { Certificates } from '#registry/client/certificates.ts'
import type { Endpoint, Hosts } from '#registry/client/hosts.ts'
import type { Values } from '../command.ts'
import { readSmallFile } from '../key-values.ts'
import type { Settings } from '../settings.ts'
import type { kanikoFlags } from './kaniko-flags.ts'

/** A file of certificates has many, and a bundle of all authorities has half of this. */
const pemBytes = 1 << 20

/** Mirrors and registries without verified TLS, as kaniko's flags name them, before what registries.conf says. */
export function withKanikoRegistries(flags: Values<typeof kanikoFlags>): (hosts: Hosts) => Hosts {
  const mirrors = mirrorsOf(flags)
  const insecure = new Set([...flags['insecure-registry'], ...flags['skip-tls-verify-registry']].map(canonical))
  const trusting = (endpoint: Endpoint): Endpoint =>
    insecure.has(endpoint.registry) || insecure.has(endpoint.host) ? { ...endpoint, isInsecure: true } : endpoint
  return (hosts) => ({
    ...hosts,
    endpoints: (registry, repository, tag) =>
      endpointsOf(
        (mirrors.get(canonical(registry)) ?? []).map((location) => mirrorAt(location, repository)),
        hosts.endpoints(registry, repository, tag),
        flags['skip-default-registry-fallback'] === true,
      ).map(trusting),
  })
}

/** The registry itself is asked last, unless a mirror is to have the last word. */
function endpointsOf(mirrors: readonly Endpoint[], usual: readonly Endpoint[], isMirrorLast: boolean): readonly Endpoint[] {
  return isMirrorLast && mirrors.length > 0 ? mirrors : [...mirrors, ...usual]
}

/**
 * `--registry-certificate HOST=FILE` and `--registry-client-cert HOST=CERTIFICATE,KEY`.
 *
 * @throws StaveError `usage`; `not-found` for a file that is not there
 */
export function kanikoCertificates(flags: Values<typeof kanikoFlags>, settings: Settings): ReadonlyMap<string, Certificates> {
  const found = new Map<string, Certificates>()
  const read = (file: string): string => readSmallFile(file, settings, pemBytes)
  for (const text of flags['registry-certificate']) {
    const [host, file] = hostAndFile(text, 'registry-certificate', 'HOST=FILE')
    const known = found.get(host)
    found.set(host, { ...known, authorities: [...(known?.authorities ?? []), read(file)] })
  }
  for (const text of flags['registry-client-cert']) {
    const [host, files] = hostAndFile(text, 'registry-client-cert', 'HOST=CERTIFICATE,KEY')
    const [certificate = '', key = ''] = files.split(',')
    if (certificate === '' || key === '') throw malformed(text, 'registry-client-cert', 'HOST=CERTIFICATE,KEY')
    found.set(host, { authorities: [], ...found.get(host), client: { certificate: read(certificate), key: read(key) } })
  }
  return found
}

function hostAndFile(text: string, flag: string, form: string): readonly [string, string] {
  const [host = '', file = ''] = text.split(/=(.*)/s)
  if (host === '' || file === '') throw malformed(text, flag, form)
  return [host, file]
}

function malformed(text: string, flag: string, form: string): StaveError {
  return new StaveError('usage', `stave kaniko: --${flag} takes ${form}, not ${JSON.stringify(text)}`)
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
