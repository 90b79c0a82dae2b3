import { StaveError } from '#error.ts'
import { defaultNetwork, type NetworkPlace } from '#network/choice.ts'
import { readRoutes } from '#network/host.ts'
import { newNetwork, type NetworkOptions, type NetworkRecord } from '#network/record.ts'
import type { Lease } from '#network/request.ts'
import { freeAddress, freeSubnet, macOf, addressAt, formatSubnet, overlap } from '#network/subnet.ts'
import { formatAddress, isWithin, parseAddress, parseSubnet } from '#text/address.ts'
import type { Database } from './database.ts'
import { isAlive, self, type Owner } from './owner.ts'
import { randomHex } from './random.ts'

/** @throws StaveError `conflict` if the name or the addresses are taken; `usage` */
export function createNetwork(database: Database, options: NetworkOptions): NetworkRecord {
  return database.transaction(() => {
    const others = listNetworks(database)
    if (others.some(({ name }) => name === options.name)) {
      throw new StaveError('conflict', `cannot make the network ${options.name}: there is one with that name`, {
        hint: `Remove it (stave network rm ${options.name}), or choose another name.`,
      })
    }
    const record = newNetwork(randomHex(32), options, others, readRoutes(), new Date().toISOString())
    const twin = others.find(({ bridge }) => bridge === record.bridge)
    if (twin !== undefined) throw new StaveError('conflict', `cannot name a bridge ${record.bridge}: the network ${twin.name} has it`)
    insert(database, record)
    return record
  })
}

function insert(database: Database, record: NetworkRecord): void {
  const text = JSON.stringify(record)
  database.run('INSERT INTO network (id, name, record, created) VALUES (?, ?, ?, ?)', record.id, record.name, text, Date.now())
}

/** The network of containers that name none, made when it is needed first. */
export function ensureDefaultNetwork(database: Database): NetworkRecord {
  const found = getNetwork(database, defaultNetwork)
  if (found !== undefined) return found
  return database.transaction(() => {
    const raced = getNetwork(database, defaultNetwork)
    if (raced !== undefined) return raced
    const id = randomHex(32)
    // Its name is one that nobody else may choose, so it is checked under another.
    const record = newNetwork(
      id,
      { name: 'default-network', noNames: true },
      listNetworks(database),
      readRoutes(),
      new Date().toISOString(),
    )
    const named = { ...record, name: defaultNetwork }
    insert(database, named)
    return named
  })
}

/** By name. */
export function listNetworks(database: Database): readonly NetworkRecord[] {
  return database.all('SELECT record FROM network ORDER BY name').map(recordOf)
}

export function getNetwork(database: Database, name: string): NetworkRecord | undefined {
  const row = database.get('SELECT record FROM network WHERE name = ?1 OR id = ?1', name)
  return row === undefined ? undefined : recordOf(row)
}

/** By name, id, or the beginning of the id. @throws StaveError `not-found` */
export function findNetwork(database: Database, text: string): NetworkRecord {
  const exact = getNetwork(database, text)
  if (exact !== undefined) return exact
  if (text === defaultNetwork) return ensureDefaultNetwork(database)
  const begins = /^[0-9a-f]+$/.test(text) ? listNetworks(database).filter(({ id }) => id.startsWith(text)) : []
  if (begins.length === 1) return begins[0]!
  if (begins.length > 1)
    throw new StaveError('not-found', `cannot choose a network: several ids begin with ${text}`, { hint: 'Give more digits.' })
  throw new StaveError('not-found', `cannot find the network ${text}`, {
    hint: `stave network ls lists them; stave network create ${/^[\w.-]+$/.test(text) ? text : 'NAME'} makes one.`,
  })
}

export function deleteNetwork(database: Database, network: NetworkRecord): void {
  database.transaction(() => {
    database.run('DELETE FROM address WHERE network = ?', network.id)
    database.run('DELETE FROM network WHERE id = ?', network.id)
  })
}

function recordOf(row: Record<string, string | number | null>): NetworkRecord {
  return JSON.parse(String(row['record'])) as NetworkRecord
}

/** Which container has which addresses, and who took them for it. */
interface Row extends Lease {
  readonly container: string
  readonly owner: Owner
}

function rowsOf(database: Database, network: NetworkRecord): readonly Row[] {
  return database.all('SELECT container, record FROM address WHERE network = ?', network.id).map((row) => ({
    ...(JSON.parse(String(row['record'])) as Lease & { owner: Owner }),
    container: String(row['container']),
  }))
}

/** The addresses of a container by the ids of its networks: as they are while it runs, or were when it last did. */
export function leasesOf(database: Database, container: string): ReadonlyMap<string, Lease> {
  const rows = database.all('SELECT network, record FROM address WHERE container = ?', container)
  return new Map(rows.map((row) => [String(row['network']), JSON.parse(String(row['record'])) as Lease]))
}

/**
 * Takes addresses for a container that is about to run. Those of containers that do not run are free.
 *
 * @param lives Does that container run?
 * @returns the lease, with the network as it is now: one whose addresses were chosen may have got others, where another
 *   link of this machine has come to need them
 * @throws StaveError `conflict` if a wanted address is taken, or all are
 */
export function takeLease(
  database: Database,
  network: NetworkRecord,
  container: string,
  place: NetworkPlace,
  lives: (container: string) => boolean,
): { readonly network: NetworkRecord; readonly lease: Lease } {
  return database.transaction(() => {
    const others: Row[] = []
    for (const row of rowsOf(database, network)) {
      if (row.container !== container && (lives(row.container) || isAlive(row.owner))) others.push(row)
      else database.run('DELETE FROM address WHERE network = ? AND container = ?', network.id, row.container)
    }
    const now = others.length === 0 && network.automatic ? moveAway(database, network) : network
    const lease = choose(now, place, others)
    const record = JSON.stringify({ ...lease, owner: self() })
    database.run('INSERT INTO address (network, container, record) VALUES (?, ?, ?)', network.id, container, record)
    return { network: now, lease }
  })
}

export function dropLease(database: Database, network: NetworkRecord, container: string): void {
  database.run('DELETE FROM address WHERE network = ? AND container = ?', network.id, container)
}

/** Chooses other addresses of IPv4 where a link of somebody else has these now. */
function moveAway(database: Database, network: NetworkRecord): NetworkRecord {
  const routes = readRoutes(network.bridge)
  const at = network.subnets.findIndex(({ subnet }) => !subnet.includes(':'))
  const subnet = parseSubnet(network.subnets[at]?.subnet ?? '')
  if (subnet === undefined || !routes.some((route) => overlap(route, subnet))) return network
  const taken = listNetworks(database).flatMap(({ subnets }) => subnets.map((one) => parseSubnet(one.subnet)!))
  const free = freeSubnet(network.id, [...taken, ...routes])
  if (free === undefined) return network
  const moved = { subnet: formatSubnet(free), gateway: formatAddress(addressAt(free, 1n)) }
  const record: NetworkRecord = { ...network, subnets: network.subnets.with(at, moved) }
  database.run('UPDATE network SET record = ? WHERE id = ?', JSON.stringify(record), network.id)
  return record
}

function choose(network: NetworkRecord, place: NetworkPlace, others: readonly Row[]): Lease {
  const taken = new Map<string, string>()
  for (const { container, ip, ip6 } of others) for (const address of [ip, ip6]) if (address !== undefined) taken.set(address, container)
  const chosen: { ip?: string; ip6?: string } = {}
  for (const { subnet: text, gateway, range } of network.subnets) {
    const subnet = parseSubnet(text)!
    const key = subnet.address.length === 4 ? 'ip' : 'ip6'
    // Of several subnets of one family the one with the wanted address counts, else the first.
    const wanted = place[key]
    const address = wanted === undefined ? undefined : parseAddress(wanted)
    if (chosen[key] !== undefined || (address !== undefined && !isWithin(address, subnet))) continue
    const busy = new Set([...taken.keys(), gateway])
    const free = address ?? freeAddress(subnet, busy, range === undefined ? subnet : parseSubnet(range)!)
    if (free === undefined)
      throw new StaveError('conflict', `cannot connect to the network ${network.name}: all addresses of ${text} are in use`)
    const formatted = formatAddress(free)
    if (busy.has(formatted)) {
      const owner = taken.get(formatted)
      const who = owner === undefined ? 'the network itself' : `container ${owner.slice(0, 12)}`
      throw new StaveError('conflict', `cannot give the container the address ${formatted}: ${who} has it`, { exitCode: 125 })
    }
    chosen[key] = formatted
  }
  for (const key of ['ip', 'ip6'] as const) {
    if (place[key] === undefined || chosen[key] !== undefined) continue
    const subnets = network.subnets.map(({ subnet }) => subnet).join(', ')
    throw new StaveError('usage', `the address ${place[key]} is not in the network ${network.name}, which is ${subnets}`, {
      hint: key === 'ip6' ? 'stave network create --ipv6 makes networks with addresses of IPv6.' : 'Choose another, or leave it out.',
      exitCode: 125,
    })
  }
  return { ...chosen, mac: place.mac ?? macOf(parseAddress(chosen.ip ?? chosen.ip6 ?? '0.0.0.0')!) }
}
