import { lookup } from 'node:dns/promises'
import { isPrivateHost, parseAddress } from '#text/address.ts'

/**
 * May a server at one address send us to another (a redirect, a token server, a place to upload to)? Not from the
 * internet into this machine or its network: what it cannot ask itself, it could else have us ask. Who is in a private
 * network already may name others there.
 */
export async function mayLeadTo(from: URL, to: URL, isPrivate: (hostname: string) => Promise<boolean> = leadsInside): Promise<boolean> {
  return from.hostname === to.hostname || !(await isPrivate(to.hostname)) || isPrivate(from.hostname)
}

const known = new Map<string, Promise<boolean>>()

/** Is it the address, or a name of one, that is not of the public internet? A name is looked up once in a process. */
function leadsInside(hostname: string): Promise<boolean> {
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
  try {
    return (await lookup(hostname, { all: true })).some(({ address }) => isPrivateHost(address))
  } catch {
    // Behind a proxy names need not resolve here; the request itself will tell.
    return false
  }
}
