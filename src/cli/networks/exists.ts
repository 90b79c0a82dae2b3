import { hasCode } from '#error.ts'
import { findNetwork } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  try {
    findNetwork(session.store.database, args[0]!)
    return 0
  } catch (error) {
    if (hasCode(error, 'not-found')) return 1
    throw error
  }
}
