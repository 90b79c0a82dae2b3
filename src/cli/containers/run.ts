import { StaveError } from '#error.ts'
import { startContainer } from '#container/start.ts'
import type { Invocation } from '../command.ts'
import { newContainer } from './new-container.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { createFlags } from './commands.ts'

/** Runs a command in a new container. @returns the command's exit status; 125 where stave itself failed */
export async function run(invocation: Invocation<typeof createFlags>): Promise<number> {
  const { cx, flags, settings, report, forwardSignals } = invocation
  try {
    await using session = await openSession(settings)
    const container = await newContainer(invocation, session)
    await report.settle()
    const result = await startContainer(cx, session.store, container, {
      detach: flags.detach ?? false,
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
  } catch (error) {
    throw asRunFailure(error)
  }
}

/** Docker's rule: 125 says that the engine failed and not the command, 126 and 127 that there was no command to run. */
export function asRunFailure(error: unknown): unknown {
  if (!(error instanceof StaveError) || error.exitCode > 2 || error.code === 'cancelled' || error.code === 'usage') return error
  return error.with({ exitCode: error.code === 'command-not-found' ? 127 : error.code === 'command-not-executable' ? 126 : 125 })
}
