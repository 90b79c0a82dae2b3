import { stopContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { chooseContainers, forEachContainer } from '../containers.ts'
import { openSession } from '../session.ts'
import type { stopFlags } from '../table/containers.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof stopFlags>): Promise<number> {
  await using session = await openSession(settings)
  const containers = chooseContainers(session.store, args, { ...flags, wanted: ({ status }) => status.state === 'running' })
  return await forEachContainer(report, containers, args, (container) => stopContainer(cx, session.store, container, flags.time))
}
