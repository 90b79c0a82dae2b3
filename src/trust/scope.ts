import { formatReference, type Reference } from '#oci/reference.ts'
import type { Policy, Requirement } from './policy.ts'

/** Where an image comes from, as a policy speaks of it. */
export type Origin =
  | { readonly transport: 'docker'; readonly reference: Reference }
  /** `scopes`: from the narrowest to the widest. */
  | { readonly transport: string; readonly scopes: readonly string[]; readonly reference?: undefined }

export interface Ruling {
  readonly requirements: readonly Requirement[]
  /** Which entry of the policy that is, for messages. */
  readonly rule: string
}

/** The requirements for an image: of the narrowest scope that the policy has, else of its transport, else the default. */
export function rulingFor(policy: Policy, origin: Origin): Ruling {
  const scopes = policy.transports.get(origin.transport)
  for (const scope of scopes === undefined ? [] : [...scopesOf(origin), '']) {
    const requirements = scopes?.get(scope)
    if (requirements !== undefined) return { requirements, rule: `transports.${origin.transport}.${JSON.stringify(scope)}` }
  }
  return { requirements: policy.default, rule: 'default' }
}

/** @see containers-policy.json(5), "docker:" */
function scopesOf(origin: Origin): readonly string[] {
  return origin.reference === undefined ? origin.scopes : referenceScopes(origin.reference)
}

/** The scopes of an image of a registry, or of a Docker daemon: itself, its repository, each namespace, the host, and wildcards. */
export function referenceScopes(reference: Reference): readonly string[] {
  const { registry, repository } = reference
  const parts = repository.split('/')
  const namespaces = parts.map((_, at) => `${registry}/${parts.slice(0, parts.length - at).join('/')}`)
  const labels = registry.split('.')
  const wildcards = labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`)
  return [formatReference(reference), ...namespaces, registry, ...wildcards]
}

/** The scopes of a path: itself, with and without a name in it, and each directory above it. */
export function pathScopes(path: string, name?: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '')
  const above = parts.map((_, at) => `/${parts.slice(0, parts.length - at).join('/')}`)
  return [...(name === undefined || name === '' ? [] : [`${path}:${name}`]), ...above]
}
