import { parseRestart } from '#container/restart.ts'
import { changeRestart } from '#container/supervise.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import type { updateFlags } from './commands.ts'
import { forEachContainer } from './each.ts'

/** Changes the settings of containers, whether or not they run. @returns the exit status */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof updateFlags>): Promise<number> {
  if (flags.restart === undefined)
    throw new StaveError('usage', 'stave update: nothing is to be changed', { hint: 'Say what with --restart POLICY.' })
  const policy = parseRestart(flags.restart)
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, {}, (container) =>
    changeRestart(cx, session.store, container, policy, ownProgram(settings)),
  )
}
