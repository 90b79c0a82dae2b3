import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { Certificates } from './certificates.ts'
import { lookup } from './reach.ts'

export interface ConnectionSettings {
  readonly verify: boolean
  /** The authorities that are trusted for everybody. Undefined: those that Node brings. */
  readonly authorities: readonly string[] | undefined
  readonly certificates: Certificates
  readonly proxy: string | undefined
}

/**
 * The connections to one host. Each request has its connection, which is kept for the next one. Requests are not
 * pipelined: a blob before them would hold them up, and 2000 HEADs, 16 at a time, to distribution 2.8 on loopback took
 * as long with it (about 400 a second; the server is the limit).
 */
export async function openDispatcher(settings: ConnectionSettings): Promise<Dispatcher> {
  const { verify, certificates, proxy } = settings
  const tls = {
    rejectUnauthorized: verify,
    ...(certificates.authorities.length > 0 || settings.authorities !== undefined ? { ca: authorities(settings) } : {}),
    ...(certificates.client !== undefined && { cert: certificates.client.certificate, key: certificates.client.key }),
  }
  const options = {
    // One HTTP/2 connection would share one TCP window between all blobs.
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 15_000,
    keepAliveMaxTimeout: 60_000,
    maxHeaderSize: 64 * 1024,
  }
  if (proxy !== undefined) {
    const { ProxyAgent } = await import('undici')
    return new ProxyAgent({ uri: proxy, requestTls: tls, ...options })
  }
  const { default: Agent } = await import('undici/lib/dispatcher/agent.js')
  return new Agent({ ...options, connect: { timeout: 15_000, autoSelectFamily: true, lookup, ...tls } })
}

// Naming any authority replaces Node's own list, so that is named too.
function authorities(settings: ConnectionSettings): string[] {
  return [...(settings.authorities ?? getCACertificates('default')), ...settings.certificates.authorities]
}
