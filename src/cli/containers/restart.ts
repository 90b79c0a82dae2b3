import { restartContainer } from '#container/start.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer, isActive } from './each.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import type { restartFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof restartFlags>): Promise<number> {
  await using session = await openSession(settings)
  const choice = { ...flags, all: flags.all || flags.running, ...(flags.running && { wanted: isActive }) }
  return await forEachContainer(report, session.store, args, choice, async (container) => {
    await restartContainer(cx, session.store, container, {
      program: ownProgram(settings),
      ...(flags.time !== undefined && { timeoutSeconds: flags.time }),
    })
  })
}
