import { listContainers, removeContainer } from '#container/container.ts'
import type { Invocation } from '../command.ts'
import { containerFilter } from '../container-filter.ts'
import { isActive } from '../containers.ts'
import { openSession } from '../session.ts'
import type { containerPruneFlags } from '../table/containers.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof containerPruneFlags>): Promise<void> {
  await using session = await openSession(settings)
  const all = listContainers(session.store)
  const accepts = containerFilter(flags.filter, all)
  for (const container of all) {
    if (isActive(container) || !accepts(container)) continue
    await removeContainer(cx, session.store, container)
    report.print(container.id)
  }
}
