import { findContainer, renameContainer } from '#container/container.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  renameContainer(session.store, findContainer(session.store, args[0]!), args[1]!)
}
