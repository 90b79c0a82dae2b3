import { removeContainer } from '#container/container.ts'
import { stopContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { openSession } from '../session.ts'
import type { rmFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof rmFlags>): Promise<number> {
  await using session = await openSession(settings)
  const { store } = session
  return await forEachContainer(report, store, args, { ...flags, ignore: flags.force || flags.ignore }, async (container) => {
    if (flags.force && flags.time !== undefined) await stopContainer(cx, store, container, flags.time)
    await removeContainer(cx, store, container, { force: flags.force ?? false, volumes: flags.volumes ?? false })
  })
}
