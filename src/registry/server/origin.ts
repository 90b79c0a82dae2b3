import type { IncomingHttpHeaders } from 'node:http'
import { isLoopback } from '#text/address.ts'
import { Refusal } from './answer.ts'

/** Under which names a server may be asked for. */
export interface Names {
  /** The address that it listens at. */
  readonly host: string
  /** Further names, as a proxy before it passes them on: host names without port. */
  readonly allowed: readonly string[]
}

/**
 * Refuses what a page in somebody's browser makes it ask: a request from another site, and one under a name that only
 * the page's owner makes lead here (DNS rebinding). On a loopback address a server that asks for no password would
 * else be open to every page that is looked at on this machine.
 *
 * @throws Refusal 400, 403
 * @see Fetch Standard, "Origin header"; Fetch Metadata Request Headers, "Sec-Fetch-Site"
 */
export function checkOrigin(headers: IncomingHttpHeaders, names: Names): void {
  const own = URL.parse(`http://${headers.host ?? ''}`)
  if (own === null || headers.host === undefined || !/^[\w.:[\]-]+$/.test(headers.host))
    throw new Refusal(400, 'UNSUPPORTED', 'the Host header is no name of a host')
  if (!isOwnName(own.hostname, names)) throw new Refusal(403, 'DENIED', 'this registry is not served under the name in the Host header')
  const { origin } = headers
  const site = headers['sec-fetch-site']
  const isForeign = origin !== undefined && URL.parse(origin)?.host !== own.host
  if (isForeign || site === 'cross-site' || site === 'same-site')
    throw new Refusal(403, 'DENIED', 'pages of other sites may not ask this registry')
}

function isOwnName(hostname: string, { host, allowed }: Names): boolean {
  if (isLoopback(hostname) || allowed.some((name) => name.toLowerCase() === hostname)) return true
  // At an address that others reach, names are theirs to choose, unless they were told.
  return !isLoopback(host) && allowed.length === 0
}
