import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { defaultNetwork, type NetworkPlace } from '#network/choice.ts'
import type { NetworkRecord } from '#network/record.ts'
import { linkOf, userModeAddresses, type Lease } from '#network/request.ts'
import { parseSubnet } from '#text/address.ts'
import { deleteNetwork, dropLease, findNetwork, getNetwork, leasesOf } from '#store/networks.ts'
import type { LocalStore } from '#store/open.ts'
import { listContainers, removeContainer, updateContainer, type Container, type ContainerRecord } from './container.ts'
import { directoryOf } from './control.ts'
import { membership } from './connect.ts'
import { networkMode, type ConnectedNetwork } from './network.ts'
import { publishedPorts } from './port.ts'
import { changeNetwork } from './sweep.ts'

/** The containers on each network, running or not, by the network's id. */
export function networkUsers(store: LocalStore): ReadonlyMap<string, readonly Container[]> {
  const users = new Map<string, Container[]>()
  for (const container of listContainers(store))
    for (const { id } of container.network?.networks ?? []) users.set(id, [...(users.get(id) ?? []), container])
  return users
}

/** @throws StaveError `in-use` while a container, running or not, is on it */
export async function removeNetwork(
  cx: Context,
  store: LocalStore,
  network: NetworkRecord,
  options: { readonly force?: boolean } = {},
): Promise<void> {
  if (network.name === defaultNetwork)
    throw new StaveError('usage', `cannot remove the network ${network.name}: it is the one of containers that name none`)
  const users = networkUsers(store).get(network.id) ?? []
  if (users.length > 0 && options.force !== true) {
    const names = users.map(({ name }) => name).join(', ')
    throw new StaveError('in-use', `cannot remove the network ${network.name}: ${names} ${users.length === 1 ? 'is' : 'are'} on it`, {
      hint: 'Remove the containers first (stave rm), disconnect them (stave network disconnect), or use --force, which removes them.',
    })
  }
  for (const container of users) await removeContainer(cx, store, container, { force: true, volumes: true })
  deleteNetwork(store.database, network)
}

/**
 * Connects a container to one more network: at once if it runs, and whenever it starts.
 *
 * @throws StaveError `conflict` if it is on it; `usage` if it has no network of its own
 */
export async function connectNetwork(cx: Context, store: LocalStore, container: Container, place: NetworkPlace): Promise<void> {
  const network = findNetwork(store.database, place.name)
  const refuse = (why: string, code: 'usage' | 'conflict' = 'usage') =>
    new StaveError(code, `cannot connect the container ${container.name} to the network ${network.name}: ${why}`)
  const { network: own } = container
  if (own?.mode !== 'networks' && own?.mode !== 'none') throw refuse(`its network is ${networkMode(container)}`)
  const there = own.networks ?? []
  if (there.some(({ id }) => id === network.id)) throw refuse('it is on it', 'conflict')
  const connected = { ...place, name: network.name, id: network.id, interface: place.interface ?? freeInterface(there) }
  if (container.status.state === 'running' || container.status.state === 'paused') {
    if (own.mode === 'none') throw refuse('it was started without a network; connect it before it starts')
    const member = membership(store, container, connected, true)
    const link = linkOf(container, member, there.length, there.length === 0)
    await changeNetwork(cx, store, { action: 'connect', ...jobOf(store, container), link })
  }
  const networks = [...there, connected]
  updateContainer(store, container, { network: { ...own, mode: 'networks', networks }, ...asPrivate(container) })
}

/** A container that was made without a network has one from now on. */
function asPrivate({ spec }: ContainerRecord): Pick<ContainerRecord, 'spec'> {
  return { spec: { ...spec, namespaces: { ...spec.namespaces, network: 'private' } } }
}

function freeInterface(there: readonly ConnectedNetwork[]): string {
  const names = new Set(there.map((place, at) => place.interface ?? `eth${at}`))
  let at = 0
  while (names.has(`eth${at}`)) at++
  return `eth${at}`
}

/** @throws StaveError `not-found` if it is not on it */
export async function disconnectNetwork(cx: Context, store: LocalStore, container: Container, network: NetworkRecord): Promise<void> {
  const own = container.network
  const there = own?.networks ?? []
  if (own === undefined || !there.some(({ id }) => id === network.id))
    throw new StaveError('not-found', `the container ${container.name} is not on the network ${network.name}`)
  if (container.status.state === 'running' || container.status.state === 'paused')
    await changeNetwork(cx, store, { action: 'disconnect', ...jobOf(store, container), network: network.id })
  dropLease(store.database, network, container.id)
  // The others keep the interfaces that they have.
  const kept = there.map((place, at) => ({ ...place, interface: place.interface ?? `eth${at}` })).filter(({ id }) => id !== network.id)
  updateContainer(store, container, { network: { ...own, networks: kept } })
}

function jobOf(store: LocalStore, container: ContainerRecord) {
  return { container: { id: container.id, ...directoryOf(store, container) } }
}

/** A network in the shape of Docker's `network inspect`, with what podman's has beside it. */
export function inspectNetwork(store: LocalStore, network: NetworkRecord): Record<string, unknown> {
  const members = (networkUsers(store).get(network.id) ?? []).filter(
    ({ status }) => status.state === 'running' || status.state === 'paused',
  )
  const hasIPv6 = network.subnets.some(({ subnet }) => subnet.includes(':'))
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: 'local',
    Driver: 'bridge',
    EnableIPv4: true,
    EnableIPv6: hasIPv6,
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: network.subnets.map(({ subnet, gateway, range }) => ({
        Subnet: subnet,
        Gateway: gateway,
        ...(range !== undefined && { IPRange: range }),
      })),
    },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    Containers: Object.fromEntries(members.map((container) => [container.id, memberOf(store, container, network)])),
    Options: network.options,
    Labels: network.labels,
    // Podman's words for the same.
    name: network.name,
    id: network.id,
    driver: 'bridge',
    network_interface: network.bridge,
    created: network.createdAt,
    subnets: network.subnets.map(({ subnet, gateway }) => ({ subnet, gateway })),
    ipv6_enabled: hasIPv6,
    internal: network.internal,
    dns_enabled: network.names,
    labels: network.labels,
    options: network.options,
  }
}

function memberOf(store: LocalStore, container: Container, network: NetworkRecord): Record<string, unknown> {
  const lease = leasesOf(store.database, container.id).get(network.id)
  const bits = (v6: boolean) => parseSubnet(network.subnets.find(({ subnet }) => subnet.includes(':') === v6)?.subnet ?? '')?.bits
  return {
    Name: container.name,
    EndpointID: '',
    MacAddress: lease?.mac ?? '',
    IPv4Address: lease?.ip === undefined ? '' : `${lease.ip}/${bits(false)}`,
    IPv6Address: lease?.ip6 === undefined ? '' : `${lease.ip6}/${bits(true)}`,
  }
}

/** `NetworkSettings` of a container, as docker and podman both have it. */
export function networkSettings(store: LocalStore, container: Container): Record<string, unknown> {
  const runs = container.status.state === 'running' || container.status.state === 'paused'
  const leases = runs ? leasesOf(store.database, container.id) : new Map<string, Lease>()
  const places = container.network?.networks ?? []
  const networks = places.flatMap((place) => {
    const network = getNetwork(store.database, place.id)
    return network === undefined ? [] : [{ place, network, endpoint: endpointOf(container, place, network, leases.get(place.id)) }]
  })
  const first = networks[0]?.endpoint ?? (container.network?.mode === 'private' && runs ? userModeEndpoint : emptyEndpoint)
  const mode = container.network?.mode
  const others = mode === 'host' || mode === 'none' || mode === undefined ? { [networkMode(container)]: emptyEndpoint } : {}
  return {
    Bridge: '',
    SandboxID: runs ? container.id : '',
    SandboxKey: runs && container.status.pid !== undefined ? `/proc/${container.status.pid}/ns/net` : '',
    Ports: portsMap(container, runs),
    EndpointID: '',
    Gateway: first.Gateway,
    IPAddress: first.IPAddress,
    IPPrefixLen: first.IPPrefixLen,
    IPv6Gateway: first.IPv6Gateway,
    GlobalIPv6Address: first.GlobalIPv6Address,
    GlobalIPv6PrefixLen: first.GlobalIPv6PrefixLen,
    MacAddress: first.MacAddress,
    Networks: networks.length > 0 ? Object.fromEntries(networks.map(({ network, endpoint }) => [network.name, endpoint])) : others,
  }
}

const emptyEndpoint = {
  IPAMConfig: null as Record<string, string> | null,
  Links: null,
  Aliases: null as readonly string[] | null,
  MacAddress: '',
  NetworkID: '',
  EndpointID: '',
  Gateway: '',
  IPAddress: '',
  IPPrefixLen: 0,
  IPv6Gateway: '',
  GlobalIPv6Address: '',
  GlobalIPv6PrefixLen: 0,
  DNSNames: null as readonly string[] | null,
}

const userModeEndpoint = {
  ...emptyEndpoint,
  Gateway: userModeAddresses.gateway,
  IPAddress: userModeAddresses.ip,
  IPPrefixLen: userModeAddresses.bits,
}

function endpointOf(container: Container, place: ConnectedNetwork, network: NetworkRecord, lease: Lease | undefined): typeof emptyEndpoint {
  const of = (v6: boolean) => network.subnets.find(({ subnet }) => subnet.includes(':') === v6)
  const [v4, v6] = [of(false), of(true)]
  const names = network.names ? [container.name, ...(place.aliases ?? []), container.id.slice(0, 12)] : null
  const config = {
    ...(place.ip !== undefined && { IPv4Address: place.ip }),
    ...(place.ip6 !== undefined && { IPv6Address: place.ip6 }),
  }
  return {
    ...emptyEndpoint,
    IPAMConfig: Object.keys(config).length > 0 ? config : null,
    Aliases: network.names ? [...(place.aliases ?? []), container.id.slice(0, 12)] : null,
    NetworkID: network.id,
    DNSNames: names,
    ...(lease !== undefined && { MacAddress: lease.mac }),
    ...(lease?.ip !== undefined && {
      IPAddress: lease.ip,
      Gateway: v4?.gateway ?? '',
      IPPrefixLen: parseSubnet(v4?.subnet ?? '')?.bits ?? 0,
    }),
    ...(lease?.ip6 !== undefined && {
      GlobalIPv6Address: lease.ip6,
      IPv6Gateway: v6?.gateway ?? '',
      GlobalIPv6PrefixLen: parseSubnet(v6?.subnet ?? '')?.bits ?? 0,
    }),
  }
}

/** Published ports by the container's, and null for what is only exposed. */
function portsMap(container: Container, runs: boolean): Record<string, unknown> {
  const map: Record<string, { HostIp: string; HostPort: string }[] | null> = {}
  if (!runs) return map
  for (const name of container.exposedPorts) map[name] = null
  for (const { containerPort, protocol, hostAddress, hostPort } of publishedPorts(container)) {
    const name = `${containerPort}/${protocol}`
    map[name] = [...(map[name] ?? []), { HostIp: hostAddress ?? '0.0.0.0', HostPort: String(hostPort) }]
  }
  return map
}

/** `HostConfig.PortBindings`: as they were asked for. */
export function portBindings(container: Container): Record<string, unknown> {
  const map: Record<string, { HostIp: string; HostPort: string }[]> = {}
  for (const { containerPort, protocol, hostAddress, hostPort } of container.network?.ports ?? []) {
    const name = `${containerPort}/${protocol}`
    map[name] = [...(map[name] ?? []), { HostIp: hostAddress ?? '', HostPort: hostPort === 0 ? '' : String(hostPort) }]
  }
  return map
}
