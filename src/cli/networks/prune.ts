import { networkUsers, removeNetwork } from '#container/networks.ts'
import { defaultNetwork } from '#network/choice.ts'
import { listNetworks } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { networkPruneFlags } from './commands.ts'
import { networkFilter } from './filter.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof networkPruneFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { store } = session
  const users = networkUsers(store)
  const accepts = networkFilter(flags.filter, ({ id }) => users.has(id))
  for (const network of listNetworks(store.database)) {
    if (network.name === defaultNetwork || users.has(network.id) || !accepts(network)) continue
    await removeNetwork(cx, store, network)
    report.print(network.name)
  }
}
