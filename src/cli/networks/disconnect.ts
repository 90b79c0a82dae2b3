import { findContainer } from '#container/container.ts'
import { disconnectNetwork } from '#container/networks.ts'
import { findNetwork } from '#store/networks.ts'
import { hasCode } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { networkDisconnectFlags } from './commands.ts'

export async function run({ cx, flags, args, settings }: Invocation<typeof networkDisconnectFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { store } = session
  const [name = '', container = ''] = args
  try {
    await disconnectNetwork(cx, store, findContainer(store, container), findNetwork(store.database, name))
  } catch (error) {
    if (!flags.force || !hasCode(error, 'not-found')) throw error
  }
}
