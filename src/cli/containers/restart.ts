import { restartContainer } from '#container/start.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import type { stopFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<Pick<typeof stopFlags, 'time'>>): Promise<number> {
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, {}, async (container) => {
    await restartContainer(cx, session.store, container, {
      program: ownProgram(settings),
      ...(flags.time !== undefined && { timeoutSeconds: flags.time }),
    })
  })
}
