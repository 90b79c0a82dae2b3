import { findContainer } from '#container/container.ts'
import { hasCode } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  try {
    findContainer(session.store, args[0]!)
    return 0
  } catch (error) {
    if (hasCode(error, 'not-found')) return 1
    throw error
  }
}
