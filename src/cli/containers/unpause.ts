import { unpauseContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { openSession } from '../session.ts'
import type { pauseFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof pauseFlags>): Promise<number> {
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, { ...flags, wanted: ({ status }) => status.state === 'paused' }, (container) =>
    unpauseContainer(cx, session.store, container),
  )
}
