import type { Invocation } from '../command.ts'
import { newContainer } from './new-container.ts'
import { openSession } from '../session.ts'
import type { createFlags } from './create-flags.ts'

/** Makes a container and prints its ID. */
export async function run(invocation: Invocation<typeof createFlags>): Promise<void> {
  await using session = await openSession(invocation.settings)
  const { id } = await newContainer(invocation, session)
  invocation.report.print(id)
}
