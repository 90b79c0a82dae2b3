import type { Context } from '#context.ts'
import type { Scope } from './auth.ts'
import type { Method, Response, StreamBody } from './message.ts'
import type { Endpoint } from './hosts.ts'
import type { Host } from './host.ts'

/** One request to an endpoint, with what to do about its answer. */
export interface Call {
  readonly method: Method
  /** A path with query below the endpoint's host (`/v2/…`), or the whole address. */
  readonly to: string | URL
  readonly headers?: Readonly<Record<string, string>>
  /** A stream is sent once, so such a call is not repeated here. */
  readonly body?: Uint8Array | StreamBody
  readonly scopes: readonly Scope[]
  /** The statuses that the caller deals with. Any other is thrown. */
  readonly expect: readonly number[]
  /** Send it again when it fails in a way that may pass? Default: yes. */
  readonly repeat?: boolean
  /** The registry has to put something large together before it answers. */
  readonly isSlow?: boolean
  /** The length of the body that is asked for, where it is known. */
  readonly plainBytes?: number
  /** What fails if it fails: `cannot push ghcr.io/acme/web`. */
  readonly doing: string
}

/** A call on its way through the stages. */
export interface Job {
  readonly call: Call
  readonly host: Host
  readonly endpoint: Endpoint
  /** Where to, if not to the host itself: after a redirect. */
  readonly url?: URL
  /** The Authorization field. */
  readonly authorization?: string | undefined
}

/** A stage of sending: it does its part, and has the next one do the rest. */
export type Send = (cx: Context, job: Job) => Promise<Response>

export function isStream(body: Uint8Array | StreamBody | undefined): body is StreamBody {
  return body !== undefined && !(body instanceof Uint8Array)
}

/** Lets a bounded number of requests to one host be under way at once, bodies of blobs not counted. */
export function limiting(next: Send): Send {
  return async (cx, job) => {
    const leave = isStream(job.call.body) ? undefined : await job.host.gate.enter(cx.signal)
    try {
      return await next(cx, job)
    } finally {
      leave?.()
    }
  }
}

/**
 * Has the first request to a host go alone: what it finds out (the scheme, the challenge, the token) the others then
 * know, where else each of them would find it out by itself.
 */
export function openingAlone(next: Send): Send {
  return async (cx, job) => {
    const { host } = job
    if (host.opening === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      host.opening = promise
      try {
        return await next(cx, job)
      } catch (error) {
        host.opening = undefined
        throw error
      } finally {
        resolve()
      }
    }
    await Promise.race([host.opening, aborted(cx.signal)])
    return next(cx, job)
  }
}

/** Resolves, too: the next stage says what it means that nobody wants the answer any more. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
