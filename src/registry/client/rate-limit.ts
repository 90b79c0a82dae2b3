import type { Context } from '#context.ts'
import type { Headers } from './message.ts'
import { accept } from './manifests.ts'
import { pathOf, pullScope, type Remote } from './remote.ts'

/** How many pulls are left. */
export interface RateLimit {
  readonly limit: number | undefined
  readonly remaining: number
  /** The time in seconds that the limit is for. */
  readonly windowS: number | undefined
  /** Whose pulls are counted: an address, or the ID of an account. */
  readonly source: string | undefined
}

/**
 * Asks how many pulls are left, by a HEAD, which counts as none. Undefined where the registry says nothing of it.
 *
 * @see draft-ietf-httpapi-ratelimit-headers-03; Docker Hub, "Pull usage and limits"
 */
export async function rateLimit(cx: Context, remote: Remote, name: string): Promise<RateLimit | undefined> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `manifests/${name}`),
    headers: { accept },
    scopes: pullScope(endpoint),
    expect: [200],
    doing: `cannot ask for the limit of ${remote.title}`,
  })
  await response.body.discard()
  return readRateLimit(response.headers)
}

/** `ratelimit-remaining: 98;w=21600` */
export function readRateLimit(headers: Headers): RateLimit | undefined {
  const [remaining, limit] = ['ratelimit-remaining', 'ratelimit-limit'].map((name) =>
    /^(\d{1,15})(?:\s*;\s*w=(\d{1,15}))?/.exec(headers[name] ?? ''),
  )
  if (remaining === undefined || remaining === null) return undefined
  const window = remaining[2] ?? limit?.[2]
  return {
    remaining: Number(remaining[1]),
    limit: limit?.[1] === undefined ? undefined : Number(limit[1]),
    windowS: window === undefined ? undefined : Number(window),
    source: headers['docker-ratelimit-source'],
  }
}
