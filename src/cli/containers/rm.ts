import { removeContainer } from '#container/container.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { openSession } from '../session.ts'
import type { rmFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof rmFlags>): Promise<number> {
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, { all: flags.all, ignore: flags.force }, (container) =>
    removeContainer(cx, session.store, container, { force: flags.force ?? false, volumes: flags.volumes ?? false }),
  )
}
