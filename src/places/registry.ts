import { StaveError } from '#error.ts'
import { parseReference } from '#oci/reference.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import { parseRegistryFirst } from './location.ts'
import type { NamedPlaces } from './places.ts'

/**
 * The places of a build whose images are in registries alone: base images, `--push` and remote caches.
 *
 * @param client Knows credentials, mirrors and TLS settings. It stays the caller's, who closes it after the build.
 */
export function registryPlaces(client: RegistryClient): NamedPlaces {
  const referenceOf = (text: string) => {
    const location = parseRegistryFirst(text)
    if (location.transport === 'docker') return parseReference(location.name)
    throw new StaveError('unsupported', `cannot use ${text}: this build knows registries alone`)
  }
  return {
    async source(_cx, location) {
      const reference = referenceOf(location)
      return { source: client.open(reference), name: reference.digest ?? reference.tag ?? 'latest' }
    },
    async target(_cx, location) {
      const reference = referenceOf(location)
      return { target: client.open(reference), name: reference.tag ?? reference.digest }
    },
  }
}
