import { hostsText, resolverText, type AddedHost, type Resolver } from '#sandbox/names.ts'
import { isWithin, parseAddress, parseSubnet } from '#text/address.ts'

const hostNames = 'host.containers.internal host.docker.internal'

/** The name servers of a resolv.conf that somebody in another network namespace can reach: those that are not this machine's loopback. */
export function reachableServers(resolvConf: string): readonly string[] {
  return serversOf(resolvConf).filter((server) => !isLoopback(server))
}

/** All that can be asked from this machine itself. */
export function serversOf(resolvConf: string): readonly string[] {
  const servers = [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server!)
  return servers.filter((server) => parseAddress(server) !== undefined && !server.includes('%'))
}

function isLoopback(text: string): boolean {
  const address = parseAddress(text)
  return address !== undefined && loopback.some((subnet) => isWithin(address, subnet))
}

const loopback = [parseSubnet('127.0.0.0/8')!, parseSubnet('::1/128')!]

/**
 * The /etc/hosts of a container with a network of its own.
 *
 * @param own Its addresses; with none, it is called by a loopback address.
 * @param gateway Where the host is, if it can be reached.
 */
export function privateHosts(
  own: { readonly addresses: readonly string[]; readonly names: readonly string[] },
  gateway: string | undefined,
  added: readonly AddedHost[],
): string {
  const names = own.names.join(' ')
  const addresses = own.addresses.length > 0 ? own.addresses : ['127.0.1.1']
  const taken = new Set(added.map(({ host }) => host))
  const host = hostNames.split(' ').filter((name) => !taken.has(name))
  return hostsText(undefined, [
    ...(gateway !== undefined && host.length > 0 ? [{ host: host.join(' '), address: gateway }] : []),
    ...addresses.map((address) => ({ host: names, address })),
    ...added.map((one) => (one.address === 'host-gateway' && gateway !== undefined ? { ...one, address: gateway } : one)),
  ])
}

/** The resolv.conf of a container with a network of its own, which asks those servers. @param base This machine's. */
export function privateResolvConf(base: string, servers: readonly string[], { searchDomains = [], options = [] }: Resolver): string {
  const words = (pattern: RegExp) => pattern.exec(base)?.[1]?.trim().split(/\s+/) ?? []
  return resolverText(undefined, {
    nameservers: servers,
    searchDomains: searchDomains.length > 0 ? searchDomains : words(/^\s*(?:search|domain)\s+(.*)$/m),
    options: options.length > 0 ? options : words(/^\s*options\s+(.*)$/m),
  })
}
