import { killContainer } from '#container/control.ts'
import { parseSignal } from '#text/signal.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer, isActive } from './each.ts'
import { openSession } from '../session.ts'
import type { killFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof killFlags>): Promise<number> {
  const signal = parseSignal(flags.signal ?? 'KILL')
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, { ...flags, wanted: isActive }, (container) =>
    killContainer(cx, session.store, container, signal),
  )
}
