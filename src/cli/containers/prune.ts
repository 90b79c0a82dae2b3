import type { Invocation } from '../command.ts'
import { pruneContainers } from './each.ts'
import { openSession } from '../session.ts'
import type { containerPruneFlags } from './commands.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof containerPruneFlags>): Promise<void> {
  await using session = await openSession(settings)
  for (const { id } of await pruneContainers(cx, session.store, flags.filter)) report.print(id)
}
