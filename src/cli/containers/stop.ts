import { stopContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer, isActive } from './each.ts'
import { openSession } from '../session.ts'
import type { stopFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof stopFlags>): Promise<number> {
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, { ...flags, wanted: isActive }, (container) =>
    stopContainer(cx, session.store, container, flags.time),
  )
}
