import { StaveError } from '#error.ts'
import { parseReference, type Reference } from '#oci/reference.ts'
import type { Registry } from '#registry/client/registry.ts'
import { parseRegistryFirst } from '#places/location.ts'
import type { Places } from '#places/places.ts'

/** A name in a registry, with the repository that it is in. */
export interface Named {
  readonly reference: Reference
  readonly registry: Registry
  /** What to resolve in it. */
  readonly name: string
}

/** For commands that are about registries alone: `docker://` may be left out. @throws StaveError `usage` */
export function registryReference(text: string): Reference {
  const location = parseRegistryFirst(text)
  if (location.transport === 'docker') return parseReference(location.name)
  throw new StaveError('usage', `cannot use ${text}: it is not in a registry`, { hint: 'Write docker://NAME.' })
}

export async function openNamed(places: Places, text: string): Promise<Named> {
  const reference = registryReference(text)
  return { reference, registry: await places.registry(reference), name: reference.digest ?? reference.tag ?? 'latest' }
}

/** The host of a registry, as people write it: with `docker://`, `https://` or a slash at its end. */
export function registryHost(text: string): string {
  const host = text.replace(/^(docker|https?):\/\//, '').replace(/\/+$/, '')
  if (host === '' || host.includes('/'))
    throw new StaveError('usage', `cannot use ${JSON.stringify(text)} as a registry: its host is wanted, and nothing else`)
  return host === 'index.docker.io' ? 'docker.io' : host
}
