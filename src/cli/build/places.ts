import type { Places as BuildPlaces } from '#builder/options.ts'
import { parseRegistryFirst } from '#places/location.ts'
import type { Places } from '#places/places.ts'

/** The places of a build: a name without a transport is in a registry. */
export function buildPlaces(places: Places): BuildPlaces {
  return {
    source: (cx, text) => places.source(cx, parseRegistryFirst(text)),
    async target(cx, text) {
      const { target, name } = await places.target(cx, parseRegistryFirst(text))
      return { target, name: name ?? 'latest' }
    },
    stdout: () => process.stdout,
  }
}
