import { changeLimits } from '#container/limits.ts'
import { parseRestart } from '#container/restart.ts'
import { changeRestart } from '#container/supervise.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import type { updateFlags } from './commands.ts'
import { forEachContainer } from './each.ts'
import { limitsOf } from './limits.ts'

/** Changes the settings of containers, whether or not they run. @returns the exit status */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof updateFlags>): Promise<number> {
  const { latest, restart, ...words } = flags
  const resources = limitsOf(words)
  const hasLimits = Object.keys(resources).length > 0
  if (restart === undefined && !hasLimits) {
    throw new StaveError('usage', 'stave update: nothing is to be changed', {
      hint: 'Say what, such as --memory SIZE or --restart POLICY.',
    })
  }
  const policy = restart === undefined ? undefined : parseRestart(restart)
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, { latest }, async (container) => {
    if (hasLimits) await changeLimits(cx, session.store, container, resources)
    if (restart !== undefined) await changeRestart(cx, session.store, container, policy, ownProgram(settings))
  })
}
