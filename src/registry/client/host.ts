import { StaveError } from '#error.ts'
import { isLoopback } from '#text/address.ts'
import { createGate, type Gate } from '../gate.ts'
import type { Endpoint } from './hosts.ts'

export type Scheme = 'https:' | 'http:'

/** What is known of a host that requests go to, for the life of a client. */
export interface Host {
  /** With port where given. */
  readonly name: string
  readonly isInsecure: boolean
  /** Schemes still possible; the first is used. One is left once it was found out. */
  schemes: readonly Scheme[]
  /** Settles when the scheme is found out, or cannot be; undefined before anybody tried. */
  settling?: Promise<void> | undefined
  /** Settles when the first request was answered; undefined before there was one, and after it failed. */
  opening?: Promise<void> | undefined
  /** By `performance.now()`: a 429 slows down every request to this host. */
  pausedUntil: number
  readonly gate: Gate
}

const requestsPerHost = 32

/** The hosts of one client. `verifyTls` is what was said for all of them. */
export function createHosts(verifyTls: boolean | undefined) {
  const hosts = new Map<string, Host>()
  return {
    of(endpoint: Endpoint): Host {
      const isInsecure = verifyTls === undefined ? endpoint.isInsecure : !verifyTls
      const key = `${endpoint.host} ${isInsecure}`
      let host = hosts.get(key)
      if (host === undefined) {
        const schemes = schemesFor(endpoint.host, isInsecure, verifyTls)
        host = { name: endpoint.host, isInsecure, schemes, pausedUntil: 0, gate: createGate(requestsPerHost) }
        hosts.set(key, host)
      }
      return host
    },
    /** Are certificates checked at this address? */
    verifies: (url: URL) => verifyTls ?? ![...hosts.values()].some((host) => host.isInsecure && originOf(host).host === url.host),
  }
}

function schemesFor(name: string, isInsecure: boolean, verifyTls: boolean | undefined): readonly Scheme[] {
  const hostname = URL.parse(`http://${name}`)?.hostname ?? name
  // Where nobody is between, plain http is as good, and usual; TLS is found out by the answer.
  if (isLoopback(hostname)) return verifyTls === true ? ['https:'] : ['http:', 'https:']
  return isInsecure ? ['https:', 'http:'] : ['https:']
}

/** `https://host`, as far as it is known by now. @throws StaveError `invalid-reference` */
export function originOf(host: Host): URL {
  const url = URL.parse(`${host.schemes[0]!}//${host.name}`)
  if (url === null) throw new StaveError('invalid-reference', `cannot use ${JSON.stringify(host.name)} as the address of a registry`)
  return url
}

export function addressOf(host: Host, call: { readonly to: string | URL }): URL {
  return typeof call.to === 'string' ? new URL(call.to, originOf(host)) : new URL(call.to)
}
