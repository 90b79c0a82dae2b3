import type { LookupFunction } from 'node:net'
import dns from 'node:dns'
import { StaveError } from '#error.ts'
import { isPrivateHost, parseAddress } from '#text/address.ts'

/**
 * May a server at one address send us to another (a redirect, a token server, a place to upload to)? Not from the
 * internet into this machine or its network: what it cannot ask itself, it could else have us ask. Who is in a private
 * network already may name others there.
 */
export async function mayLeadTo(from: URL, to: URL, isPrivate: (hostname: string) => Promise<boolean> = leadsInside): Promise<boolean> {
  return from.hostname === to.hostname || !(await isPrivate(to.hostname)) || isPrivate(from.hostname)
}

/** What was said of names. Whoever acts on it connects through {@link lookup}, which holds names to it. */
const known = new Map<string, Promise<boolean>>()
const saidOutside = new Set<string>()

/** Is it the address, or a name of one, that is not of the public internet? A name that resolves is looked up once in a process. */
export function leadsInside(hostname: string): Promise<boolean> {
  let answer = known.get(hostname)
  if (answer === undefined) {
    answer = ask(hostname)
    known.set(hostname, answer)
  }
  return answer
}

async function ask(hostname: string): Promise<boolean> {
  if (isPrivateHost(hostname)) return true
  if (parseAddress(hostname) !== undefined) return false
  const addresses = await dns.promises.lookup(hostname, { all: true }).catch(() => {
    // Behind a proxy names need not resolve here; the request itself will tell.
    known.delete(hostname)
    return []
  })
  const isInside = addresses.some(({ address }) => isPrivateHost(address))
  if (!isInside) saidOutside.add(hostname)
  return isInside
}

/**
 * Looks a name up for a connection, as `dns.lookup`. A name that was said to lead outside, and leads inside when it is
 * connected to, is an error: whoever answers for a name could else pass the check with one address and be asked at another.
 */
export const lookup: LookupFunction = (hostname, options, callback) => {
  dns.lookup(hostname, options, (error, found, family) => {
    const addresses = typeof found === 'string' ? [found] : (found ?? []).map(({ address }) => address)
    const inside = error === null && saidOutside.has(hostname) ? addresses.find((address) => isPrivateHost(address)) : undefined
    if (inside === undefined) callback(error, found, family)
    else
      callback(new StaveError('denied', `cannot connect to ${hostname}: it is a private address now (${inside}), and was none before`), [])
  })
}
