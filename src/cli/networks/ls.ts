import { networkUsers } from '#container/networks.ts'
import type { NetworkRecord } from '#network/record.ts'
import { ensureDefaultNetwork, listNetworks } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import { printList } from '../output/table.ts'
import type { networkListFlags } from './commands.ts'
import { networkFilter } from './filter.ts'

export async function run({ flags, settings, report }: Invocation<typeof networkListFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { store } = session
  if (settings.uid === 0) ensureDefaultNetwork(store.database)
  const users = networkUsers(store)
  const networks = listNetworks(store.database).filter(networkFilter(flags.filter, ({ id }) => users.has(id)))
  if (flags.quiet) return networks.forEach(({ name }) => report.print(name))
  const id = ({ id: whole }: NetworkRecord) => (flags['no-trunc'] ? whole : whole.slice(0, 12))
  printList(
    report,
    networks,
    [
      { heading: 'NETWORK ID', value: id },
      { heading: 'NAME', value: ({ name }) => name },
      { heading: 'DRIVER', value: () => 'bridge' },
      { heading: 'SCOPE', value: () => 'local' },
    ],
    (network) => ({
      ID: id(network),
      Name: network.name,
      Driver: 'bridge',
      Scope: 'local',
      IPv4: String(network.subnets.some(({ subnet }) => !subnet.includes(':'))),
      IPv6: String(network.subnets.some(({ subnet }) => subnet.includes(':'))),
      Internal: String(network.internal),
      CreatedAt: network.createdAt,
      Labels: Object.entries(network.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
      Label: (name: unknown) => network.labels[String(name)] ?? '',
    }),
    flags,
  )
}
