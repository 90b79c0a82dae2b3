import { startContainer } from '#container/start.ts'
import type { Invocation } from '../command.ts'
import { newContainer } from './new-container.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { createFlags } from './create-flags.ts'

/** Runs a command in a new container. @returns the command's exit status; 125 where stave itself failed */
export async function run(invocation: Invocation<typeof createFlags>): Promise<number> {
  const { cx, flags, settings, report, forwardSignals } = invocation
  await using session = await openSession(settings)
  const container = await newContainer(invocation, session)
  await report.settle()
  const result = await startContainer(cx, session.store, container, {
    detach: flags.detach ?? false,
    program: ownProgram(settings),
    stdio: containerStdio(flags),
    // In a terminal of its own, keys reach it as bytes, and a signal to this program is meant for this program.
    ...(!flags.tty && { onStarted: (_, deliver) => forwardSignals(deliver) }),
    ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }),
  })
  if (result.detached) {
    report.print(container.id)
    return 0
  }
  return result.exitCode ?? 0
}
