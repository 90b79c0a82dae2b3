import type { BuildOptions } from '#builder/options.ts'
import { isLocalPlace } from '#places/location.ts'
import { StaveError } from '#error.ts'
import { isImageId, parseReference } from '#oci/reference.ts'

/** Which registries `--creds` of a build is for. */
export interface BuildCredentials {
  isFor(registry: string): boolean
  /** @see BuildOptions.places */
  expect(references: readonly string[], isLocal: boolean): void
}

/**
 * One pair of user and password is for one place: the registries that the command line names (to push to, for caches), else the
 * one registry that the caller's own Dockerfile names. A Dockerfile must not choose who is told a password.
 */
export function buildCredentials(options: Omit<BuildOptions, 'store' | 'places'>): BuildCredentials {
  const named = new Set(namedBy(options).map((reference) => parseReference(reference).registry))
  const isNamed = named.size > 0
  return {
    isFor: (registry) => named.has(registry),
    expect(references, isLocal) {
      if (isNamed) return
      const registries = new Set(
        references
          .filter((text) => !isLocalPlace(text) && !isImageId(text))
          .map((text) => parseReference(text.replace(/^docker:\/\//, '')).registry),
      )
      for (const registry of registries) named.add(registry)
      if (named.size === 0 || (isLocal && named.size === 1)) return
      const why = isLocal
        ? `the Dockerfile names ${[...named].join(' and ')}`
        : 'the Dockerfile is from elsewhere, and must not choose who is told a password'
      throw new StaveError('usage', `cannot use --creds: it is for one registry, and ${why}`, {
        hint: 'Log in to each registry with stave login, or give an --authfile.',
      })
    },
  }
}

/** What is pushed to, and read from, because the command line says so. */
function namedBy(options: Omit<BuildOptions, 'store' | 'places'>): readonly string[] {
  const { tags = [], outputs = [], cacheFrom = [], cacheTo = [], from } = options
  const pushed = outputs.flatMap((output) =>
    output.type === 'registry' || (output.type === 'image' && output.push === true) ? (output.names ?? tags) : [],
  )
  const caches = [...cacheFrom, ...cacheTo].flatMap((cache) => (cache.type === 'registry' ? [cache.ref] : []))
  return [...pushed, ...caches, ...(from === undefined || isLocalPlace(from) ? [] : [from])]
}
