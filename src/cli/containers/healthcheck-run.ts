import { findContainer } from '#container/container.ts'
import { checkHealth } from '#container/exec.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** @returns 0 if the container is well, 1 if not */
export async function run({ cx, args, settings, report }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  const { ExitCode, Output } = await checkHealth(cx, session.store, findContainer(session.store, args[0]!))
  if (ExitCode === 0) return 0
  if (Output.trim() !== '') report.write(Output)
  report.print('unhealthy')
  return 1
}
