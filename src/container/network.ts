import { StaveError } from '#error.ts'
import { defaultNetwork, type NetworkChoice, type NetworkPlace } from '#network/choice.ts'
import { readHostFacts, readOwnResolvConf } from '#network/host.ts'
import type { PortMapping } from '#network/port.ts'
import { hostsText, resolverText, type AddedHost, type Resolver } from '#sandbox/names.ts'
import { ensureDefaultNetwork, findNetwork } from '#store/networks.ts'
import type { LocalStore } from '#store/open.ts'

/** What a container's record says of its network. */
export interface ContainerNetwork {
  readonly mode: NetworkChoice['mode']
  /** The networks that it is on, by id. */
  readonly networks?: readonly ConnectedNetwork[]
  /** Of `container` its id, of `path` the file. */
  readonly target?: string
  readonly program?: 'pasta' | 'slirp4netns'
  readonly ports: readonly PortMapping[]
  readonly domainname?: string
  readonly addHosts: readonly AddedHost[]
  readonly resolver: Resolver
}

/** As much of a container's record as tells of its network. */
interface NetworkedContainer {
  readonly network?: ContainerNetwork
  readonly spec: { readonly namespaces: { readonly network: string } }
}

export interface ConnectedNetwork extends NetworkPlace {
  readonly id: string
}

/** What `run` and `create` say of the network. */
export interface NetworkSettings {
  readonly choice: NetworkChoice
  readonly ports?: readonly PortMapping[]
  readonly domainname?: string
  readonly addHosts?: readonly AddedHost[]
  readonly resolver?: Resolver
}

/** Root's networks are bridges of this machine; everybody else's are carried by a program. */
export const isRoot = (): boolean => process.geteuid?.() === 0

/**
 * Settles what a container's network is, so that it can be kept: names become ids.
 *
 * @param find The container that a name stands for.
 * @throws StaveError `not-found`, `usage`
 */
export function settleNetwork(
  store: LocalStore,
  settings: NetworkSettings,
  find: (name: string) => { readonly id: string },
): ContainerNetwork {
  const { choice, ports = [], domainname, addHosts = [], resolver = {} } = settings
  const common = { ports, addHosts, resolver, ...(domainname !== undefined && { domainname }) }
  switch (choice.mode) {
    case 'host':
    case 'none':
      return { mode: choice.mode, ...common }
    case 'path':
      refusePorts(ports, `ns:${choice.path}`)
      return { mode: 'path', target: choice.path, ...common }
    case 'container':
      refusePorts(ports, `container:${choice.container}`)
      return { mode: 'container', target: find(choice.container).id, ...common }
    case 'private':
      return settlePrivate(store, choice, common)
    case 'networks': {
      const [first] = choice.networks
      // Docker's word for the default.
      if (!isRoot() && choice.networks.length === 1 && first?.name === defaultNetwork)
        return settlePrivate(store, { mode: 'private' }, common)
      const networks = choice.networks.map((place) => ({ ...place, id: findNetwork(store.database, place.name).id }))
      return { mode: 'networks', networks, ...common }
    }
    default:
      return choice satisfies never
  }
}

/** Root has a bridge; everybody else a helper program, where every container has the same address. */
function settlePrivate(
  store: LocalStore,
  { program, place = {} }: Extract<NetworkChoice, { mode: 'private' }>,
  common: Omit<ContainerNetwork, 'mode'>,
): ContainerNetwork {
  if (!isRoot()) {
    if (Object.keys(place).length > 0) {
      throw new StaveError('usage', '--ip, --ip6, --mac-address and --network-alias need a network with a name', {
        hint: 'stave network create NAME makes one; then: --network NAME.',
      })
    }
    return { mode: 'private', ...(program !== undefined && { program }), ...common }
  }
  if (program !== undefined) {
    throw new StaveError('usage', `--network ${program} is for ordinary users: root has bridges`, {
      hint: 'Leave it out, or use --network bridge.',
    })
  }
  const network = ensureDefaultNetwork(store.database)
  return { mode: 'networks', networks: [{ ...place, name: network.name, id: network.id }], ...common }
}

function refusePorts(ports: readonly PortMapping[], word: string): void {
  if (ports.length === 0) return
  throw new StaveError('usage', `-p publishes ports of a network of the container's own, which --network ${word} is not`, {
    hint: 'Publish them where the network is made.',
  })
}

/** What a container gets of this machine's names where it shares its network, or has none. */
export function sharedFiles(settings: NetworkSettings): { readonly hosts: string; readonly resolvConf: string; readonly hostname: string } {
  const { hosts, hostname } = readHostFacts()
  const isHosts = settings.choice.mode === 'host'
  return {
    hosts: hostsText(isHosts ? hosts : undefined, settings.addHosts),
    resolvConf: resolverText(isHosts ? readOwnResolvConf() : undefined, settings.resolver),
    hostname,
  }
}

/** As docker's `HostConfig.NetworkMode` has it. */
export function networkMode(container: NetworkedContainer): string {
  const { network } = container
  if (network === undefined) return container.spec.namespaces.network
  switch (network.mode) {
    case 'container':
      return `container:${network.target}`
    case 'path':
      return `ns:${network.target}`
    case 'networks':
      return network.networks?.[0]?.name ?? 'none'
    case 'private':
      return network.program ?? defaultNetwork
    default:
      return network.mode
  }
}

/** The names of its networks, as `ps` shows and filters them. */
export function networkNames(container: NetworkedContainer): readonly string[] {
  const names = container.network?.networks?.map(({ name }) => name) ?? []
  return names.length > 0 ? names : [networkMode(container)]
}
