import { abortedError, type Context } from '#context.ts'
import type { Scope } from './auth.ts'
import { readAll, type Response } from './message.ts'
import type { Endpoint } from './hosts.ts'
import { isTransient, networkProblem } from './problem.ts'
import type { RetryPolicy } from './choices.ts'
import { backoffMs, pause } from './retry.ts'
import type { Call } from './stage.ts'
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

/**
 * Asks for something small, and reads the whole answer. An answer that breaks off is asked for again, as often as the policy
 * has it for requests.
 *
 * @returns `raw` undefined, if it has more than `maxBytes`
 * @throws StaveError as {@link Transport.send}; `network`, `timeout` when it breaks off each time
 */
export async function readWhole(
  cx: Context,
  { transport, retry }: Pick<Remote, 'transport' | 'retry'>,
  endpoint: Endpoint,
  maxBytes: number,
  call: Call,
): Promise<{ readonly response: Response; readonly raw: Uint8Array | undefined }> {
  for (let attempt = 0; ; attempt++) {
    const response = await transport.send(cx, endpoint, call)
    try {
      return { response, raw: await readAll(response.body, maxBytes) }
    } catch (error) {
      if (cx.signal.aborted) throw abortedError(cx.signal)
      if (!isTransient(error) || attempt + 1 >= retry.attempts) throw networkProblem(error, call.doing, call.method, response.url)
      await pause(cx, backoffMs(attempt, retry))
    }
  }
}
