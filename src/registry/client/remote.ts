import type { Scope } from './auth.ts'
import type { Endpoint } from './hosts.ts'
import type { RetryPolicy } from './retry.ts'
import type { Transport } from './transport.ts'

/** A repository on the other side of a transport. */
export interface Remote {
  readonly transport: Transport
  readonly retry: RetryPolicy
  /** The registry itself: what is written goes here, never to a mirror. */
  readonly endpoint: Endpoint
  /** `docker.io/library/debian`, for messages. */
  readonly title: string
}

/** `/v2/<repository>/<rest>` */
export function pathOf(endpoint: Endpoint, rest: string): string {
  return `/v2/${endpoint.repository}/${rest}`
}

export function pullScope(endpoint: Endpoint): Scope[] {
  return [{ type: 'repository', name: endpoint.repository, actions: ['pull'] }]
}

// Whatever is done on the way to a push asks for both at once: one token instead of two.
export function pushScope(endpoint: Endpoint): Scope[] {
  return [{ type: 'repository', name: endpoint.repository, actions: ['pull', 'push'] }]
}

export function deleteScope(endpoint: Endpoint): Scope[] {
  return [{ type: 'repository', name: endpoint.repository, actions: ['delete', 'pull'] }]
}
