import type { Places as BuildPlaces } from '#builder/options.ts'
import { parseLocation, type Location } from '../location.ts'
import type { Places } from '../places.ts'

/** The places of a build: a name without a transport is in a registry. */
export function buildPlaces(places: Places): BuildPlaces {
  const locate = (text: string): Location => {
    const location = parseLocation(text)
    return location.transport === 'store' ? { transport: 'docker', name: location.name } : location
  }
  return {
    source: (cx, text) => places.source(cx, locate(text)),
    async target(cx, text) {
      const { target, name } = await places.target(cx, locate(text))
      return { target, name: name ?? 'latest' }
    },
    stdout: () => process.stdout,
  }
}
