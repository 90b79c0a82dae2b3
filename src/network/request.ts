import type { RunNetwork } from '#runner/protocol.ts'
import type { AddedHost, Resolver } from '#sandbox/names.ts'
import { parseSubnet } from '#text/address.ts'
import type { NetworkPlace } from './choice.ts'
import type { UserModeProgram } from './host.ts'
import { privateHosts, privateResolvConf, reachableServers, serversOf } from './names.ts'
import type { PortMapping } from './port.ts'
import type { NetworkRecord } from './record.ts'

/** The addresses that a container has on a network while it runs. */
export interface Lease {
  readonly ip?: string
  readonly ip6?: string
  readonly mac: string
}

/** A container's place on a network, with what it is there. */
export interface Membership {
  readonly network: NetworkRecord
  readonly place: NetworkPlace
  readonly lease: Lease
}

/** What is asked for besides the networks. */
export interface NetworkWishes {
  readonly ports: readonly PortMapping[]
  /** What it calls itself: host name first. */
  readonly names: readonly string[]
  readonly addHosts: readonly AddedHost[]
  readonly resolver: Resolver
}

export interface Connection {
  readonly network: Omit<RunNetwork, 'state'>
  /** Contents of its /etc/hosts and /etc/resolv.conf. */
  readonly hosts: string
  readonly resolvConf: string
}

/** The address at which a container finds the name server that knows its neighbours. */
const ownResolver = '127.0.0.11'

/**
 * How a container is connected to networks on bridges. Pure.
 *
 * @param container Its id: its first twelve digits are a name as well.
 * @param resolvConf This machine's. @param host Where this machine is, if not at the gateway.
 */
export function bridgeConnection(
  container: { readonly id: string; readonly name: string },
  members: readonly Membership[],
  wishes: NetworkWishes,
  resolvConf: string,
  host?: string,
): Connection {
  const outward = members.find(({ network }) => !network.internal)
  const named = members.some(({ network }) => network.names)
  const { nameservers = [] } = wishes.resolver
  // Those that only this machine can ask are asked by the container's own name server, which is this machine's.
  const reachable = nameservers.length > 0 ? nameservers : reachableServers(resolvConf)
  const asked = nameservers.length > 0 ? nameservers : serversOf(resolvConf)
  const resolves = named || (reachable.length === 0 && asked.length > 0)
  const gateway = (outward ?? members[0])?.network.subnets[0]?.gateway
  const addresses = members.flatMap(({ lease }) => [lease.ip, lease.ip6]).filter((address) => address !== undefined)
  return {
    network: {
      links: members.map((member, at) => linkOf(container, member, at, member === outward)),
      ports: wishes.ports,
      ...(resolves && { resolver: { nameservers: outward === undefined ? [] : asked } }),
    },
    hosts: privateHosts({ addresses, names: wishes.names }, host ?? gateway, wishes.addHosts),
    resolvConf: privateResolvConf(resolvConf, resolves ? [ownResolver] : reachable, wishes.resolver),
  }
}

/** One container's link to one network. @param outward What leads outside goes this way. */
export function linkOf(
  container: { readonly id: string; readonly name: string },
  { network, place, lease }: Membership,
  at: number,
  outward: boolean,
): RunNetwork['links'][number] {
  const subnets = network.subnets.map(({ subnet, gateway }) => ({ gateway, v4: !subnet.includes(':'), bits: parseSubnet(subnet)!.bits }))
  const address = (v4: boolean) => (v4 ? lease.ip : lease.ip6)
  return {
    interface: place.interface ?? `eth${at}`,
    mac: lease.mac,
    addresses: subnets.flatMap(({ v4, bits }) => (address(v4) === undefined ? [] : [`${address(v4)}/${bits}`])),
    gateways: outward ? subnets.filter(({ v4 }) => address(v4) !== undefined).map(({ gateway }) => gateway) : [],
    names: network.names ? [...new Set([container.name, ...(place.aliases ?? []), container.id.slice(0, 12)])] : [],
    bridge: {
      network: network.id,
      name: network.bridge,
      addresses: subnets.map(({ gateway, bits }) => `${gateway}/${bits}`),
      ...(network.internal && { internal: true }),
      ...(network.isolated && { isolated: true }),
      ...(network.mtu !== undefined && { mtu: network.mtu }),
    },
  }
}

/** What a container has that an ordinary user's helper connects, whichever helper it is. */
export const userModeAddresses = { ip: '10.0.2.100', bits: 24, gateway: '10.0.2.2', resolver: '10.0.2.3' } as const

/**
 * How a container is connected through a helper of an ordinary user. Pure.
 *
 * @param host Where this machine is, as seen from the container.
 */
export function userModeConnection(
  userMode: UserModeProgram,
  host: string | undefined,
  wishes: NetworkWishes,
  resolvConf: string,
): Connection {
  const { nameservers = [] } = wishes.resolver
  const { ip, resolver } = userModeAddresses
  return {
    network: { links: [], ports: wishes.ports, userMode },
    hosts: privateHosts({ addresses: [ip], names: wishes.names }, host, wishes.addHosts),
    resolvConf: privateResolvConf(resolvConf, nameservers.length > 0 ? nameservers : [resolver], wishes.resolver),
  }
}
