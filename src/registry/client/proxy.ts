import { isLoopback, isWithin, parseAddress, parseSubnet } from '#text/address.ts'

/** Proxies by scheme, and the hosts that are reached without one: the meaning of $HTTPS_PROXY, $HTTP_PROXY, $NO_PROXY. */
export interface ProxySettings {
  readonly http?: string
  readonly https?: string
  readonly no?: string
}

/**
 * The proxy for a URL, as Go's programs choose it: none for this machine itself, and none for what $NO_PROXY names, which is
 * `*`, an address or a network in CIDR form, `domain` for it and all below it, `.domain` for what is below it alone; each
 * but a network with a port if it is only for that one.
 *
 * @see golang.org/x/net/http/httpproxy, "Config"
 */
export function proxyFor(url: URL, settings: ProxySettings | undefined): string | undefined {
  const proxy = url.protocol === 'https:' ? settings?.https : settings?.http
  if (proxy === undefined || proxy === '' || isLoopback(url.hostname)) return undefined
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const entries = (settings?.no ?? '').split(',').map((entry) => entry.trim().toLowerCase())
  if (entries.some((entry) => entry !== '' && isExempt(entry, url.hostname.replace(/\.$/, ''), port))) return undefined
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`
}

function isExempt(entry: string, hostname: string, port: string): boolean {
  if (entry === '*') return true
  const address = parseAddress(hostname)
  if (entry.includes('/')) {
    const subnet = parseSubnet(entry)
    return subnet !== undefined && address !== undefined && isWithin(address, subnet)
  }
  const [, name = entry, onlyPort] = parseAddress(entry) === undefined ? (/^(.*?)(?::(\d+))?$/.exec(entry) ?? []) : [entry, entry]
  if (onlyPort !== undefined && onlyPort !== port) return false
  const exempt = parseAddress(name)
  if (exempt !== undefined) return address !== undefined && Buffer.from(exempt).equals(address)
  if (address !== undefined) return false
  const below = name.replace(/^\*/, '')
  return below.startsWith('.') ? hostname.endsWith(below) : hostname === below || hostname.endsWith(`.${below}`)
}
