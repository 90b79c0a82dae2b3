import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { Certificates } from './certificates.ts'

/** Proxies by scheme, and the hosts that are reached without one: the meaning of $HTTPS_PROXY, $HTTP_PROXY, $NO_PROXY. */
export interface ProxySettings {
  readonly http?: string
  readonly https?: string
  readonly no?: string
}

export interface ConnectionSettings {
  readonly verify: boolean
  /** Authorities that the machine trusts, besides those that Node brings. */
  readonly trustsSystem: boolean
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
    ...(certificates.authorities.length > 0 || settings.trustsSystem ? { ca: authorities(settings) } : {}),
    ...(certificates.client === undefined ? {} : { cert: certificates.client.certificate, key: certificates.client.key }),
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
  return new Agent({ ...options, connect: { timeout: 15_000, autoSelectFamily: true, ...tls } })
}

// Naming any authority replaces Node's own list, so that is named too.
function authorities({ certificates, trustsSystem }: ConnectionSettings): string[] {
  return [...getCACertificates('default'), ...(trustsSystem ? getCACertificates('system') : []), ...certificates.authorities]
}

/** The proxy for a URL, if it is not exempted: by host, by domain suffix, by `host:port`, or all by `*`. */
export function proxyFor(url: URL, settings: ProxySettings | undefined): string | undefined {
  const proxy = url.protocol === 'https:' ? settings?.https : settings?.http
  if (proxy === undefined || proxy === '') return undefined
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  for (const entry of (settings?.no ?? '').split(/[\s,]+/)) {
    if (entry === '') continue
    if (entry === '*') return undefined
    const [, name = entry, onlyPort] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? []
    if (onlyPort !== undefined && onlyPort !== port) continue
    const suffix = name.replace(/^\*?\.?/, '').toLowerCase()
    if (url.hostname === suffix || url.hostname.endsWith(`.${suffix}`)) return undefined
  }
  return /^[a-z]+:\/\//i.test(proxy) ? proxy : `http://${proxy}`
}
