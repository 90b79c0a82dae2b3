import { StaveError } from '#error.ts'
import { formatAddress, isWithin, parseAddress, parseSubnet, type Subnet } from '#text/address.ts'
import { defaultNetwork, isNetworkName } from './choice.ts'
import { addressAt, firstOf, formatSubnet, freeSubnet, overlap, uniqueSubnet } from './subnet.ts'

/** A named network, as it is kept. */
export interface NetworkRecord {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly name: string
  readonly createdAt: string
  readonly subnets: readonly NetworkSubnet[]
  /** The subnet of IPv4 was chosen, and may be chosen again where another needs it. */
  readonly automatic: boolean
  /** Nothing leads outside. */
  readonly internal: boolean
  /** Those on it do not reach each other. */
  readonly isolated: boolean
  /** Those on it can be looked up by name. */
  readonly names: boolean
  readonly mtu?: number
  /** The link on this machine. */
  readonly bridge: string
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
}

export interface NetworkSubnet {
  readonly subnet: string
  readonly gateway: string
  /** Addresses come from here. */
  readonly range?: string
}

/** What `network create` says. */
export interface NetworkOptions {
  readonly name: string
  readonly driver?: string
  readonly subnets?: readonly string[]
  readonly gateways?: readonly string[]
  readonly ranges?: readonly string[]
  readonly internal?: boolean
  readonly ipv6?: boolean
  readonly noNames?: boolean
  readonly labels?: Readonly<Record<string, string>>
  readonly options?: Readonly<Record<string, string>>
}

/** Words of `--network` that are no names. */
const reserved = ['host', 'none', 'private', 'default', 'container', 'ns', 'pasta', 'slirp4netns', defaultNetwork]

/**
 * A new network by those words. Pure.
 *
 * @param others The networks that there are; @param routes where this machine's packets already go.
 * @throws StaveError `usage`, `conflict`
 */
export function newNetwork(
  id: string,
  options: NetworkOptions,
  others: readonly NetworkRecord[],
  routes: readonly Subnet[],
  createdAt: string,
): NetworkRecord {
  checkName(options.name)
  if (options.driver !== undefined && options.driver !== 'bridge') {
    throw usage(
      `there are no networks of the driver ${JSON.stringify(options.driver)}`,
      'Networks are bridges of this machine. Another can be made outside and joined: --network ns:PATH.',
    )
  }
  const { mtu, isolated, bridge } = driverOptions(options.options ?? {})
  const given = (options.subnets ?? []).map((text) => subnetOf(text))
  for (const subnet of given) refuseOverlap(subnet, others, routes)
  const taken = [...others.flatMap(({ subnets }) => subnets.map(({ subnet }) => parseSubnet(subnet)!)), ...routes]
  const chosen = [...given]
  const hasV4 = given.some(({ address }) => address.length === 4)
  if (!hasV4) {
    const free = freeSubnet(id, taken)
    if (free === undefined)
      throw new StaveError('conflict', 'cannot find addresses for another network: all are in use', { hint: 'Name some with --subnet.' })
    chosen.unshift(free)
  }
  if (options.ipv6 === true && !given.some(({ address }) => address.length === 16)) chosen.push(uniqueSubnet(id))
  if (chosen.some((one, at) => chosen.some((other, then) => then > at && overlap(one, other))))
    throw usage('the subnets overlap each other')
  return {
    id,
    name: options.name,
    createdAt,
    subnets: withGateways(chosen, options),
    automatic: !hasV4,
    internal: options.internal ?? false,
    isolated,
    names: options.noNames !== true,
    ...(mtu !== undefined && { mtu }),
    bridge: bridge ?? `stave${id.slice(0, 8)}`,
    labels: options.labels ?? {},
    options: options.options ?? {},
  }
}

function checkName(name: string): void {
  if (!isNetworkName(name))
    throw usage(`cannot name a network ${JSON.stringify(name)}: names begin with a letter or digit, then also have _ . and -`)
  if (reserved.includes(name)) throw usage(`cannot name a network ${name}: --network ${name} means something else`)
}

function subnetOf(text: string): Subnet {
  const subnet = text.includes('/') ? parseSubnet(text) : undefined
  if (subnet === undefined) throw usage(`--subnet ${JSON.stringify(text)} is not a network such as 10.89.5.0/24`)
  const [least, most] = subnet.address.length === 4 ? [8, 30] : [16, 126]
  if (subnet.bits < least || subnet.bits > most) throw usage(`--subnet ${text} cannot be used: its size must be from /${least} to /${most}`)
  return { address: firstOf(subnet), bits: subnet.bits }
}

function refuseOverlap(subnet: Subnet, others: readonly NetworkRecord[], routes: readonly Subnet[]): void {
  for (const { name, subnets } of others) {
    const same = subnets.find((other) => overlap(subnet, parseSubnet(other.subnet)!))
    if (same === undefined) continue
    throw new StaveError('conflict', `cannot use the subnet ${formatSubnet(subnet)}: it overlaps ${same.subnet} of the network ${name}`)
  }
  const route = routes.find((other) => overlap(subnet, other))
  if (route === undefined) return
  throw new StaveError('conflict', `cannot use the subnet ${formatSubnet(subnet)}: this machine has a route to ${formatSubnet(route)}`, {
    hint: 'ip route shows it.',
  })
}

/** The first address of each is its gateway, unless it is named. */
function withGateways(subnets: readonly Subnet[], options: NetworkOptions): NetworkSubnet[] {
  const inside = (flag: string, text: string, address = parseAddress(text)) => {
    const of = address && subnets.find((subnet) => isWithin(address, subnet))
    if (of === undefined) throw usage(`${flag} ${JSON.stringify(text)} is in none of the subnets`, 'Name its network with --subnet.')
    return of
  }
  const gateways = new Map((options.gateways ?? []).map((text) => [inside('--gateway', text), formatAddress(parseAddress(text)!)]))
  const ranges = new Map(
    (options.ranges ?? []).map((text) => {
      const range = parseSubnet(text)
      const of = inside('--ip-range', text, range?.address)
      if (range!.bits < of.bits) throw usage(`--ip-range ${text} is larger than its subnet`)
      return [of, formatSubnet(range!)]
    }),
  )
  return subnets.map((subnet) => ({
    subnet: formatSubnet(subnet),
    gateway: gateways.get(subnet) ?? formatAddress(addressAt(subnet, 1n)),
    ...(ranges.has(subnet) && { range: ranges.get(subnet)! }),
  }))
}

const knownOptions = 'mtu, com.docker.network.driver.mtu, com.docker.network.bridge.name, com.docker.network.bridge.enable_icc, isolate'

function driverOptions(options: Readonly<Record<string, string>>): { mtu?: number; isolated: boolean; bridge?: string } {
  let result: { mtu?: number; isolated: boolean; bridge?: string } = { isolated: false }
  for (const [key, value] of Object.entries(options)) {
    switch (key) {
      case 'mtu':
      case 'com.docker.network.driver.mtu':
        if (!/^\d+$/.test(value) || Number(value) < 1280 || Number(value) > 65_535)
          throw usage(`--opt ${key}=${value}: an MTU is from 1280 to 65535`)
        result = { ...result, mtu: Number(value) }
        break
      case 'com.docker.network.bridge.name':
        if (!/^[A-Za-z0-9_-]{1,15}$/.test(value)) throw usage(`--opt ${key}=${value}: a link's name has up to 15 letters, digits, _ and -`)
        result = { ...result, bridge: value }
        break
      case 'com.docker.network.bridge.enable_icc':
        result = { ...result, isolated: value === 'false' }
        break
      // Networks are always kept apart from each other, which is what this asks for in podman.
      case 'isolate':
        break
      default:
        throw usage(`--opt ${key} is not understood`, `There are ${knownOptions}.`)
    }
  }
  return result
}

function usage(message: string, hint?: string): StaveError {
  return new StaveError('usage', message, { ...(hint !== undefined && { hint }) })
}
