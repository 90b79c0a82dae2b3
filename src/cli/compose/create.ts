import { withNeeded } from '#compose/order.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { createFlags } from './commands.ts'
import { openProject } from './project.ts'
import { bringUp } from './up.ts'

/** Makes containers without starting them. */
export async function run(invocation: Invocation<typeof createFlags>): Promise<void> {
  const { args } = invocation
  await using session = await openSession(invocation.settings)
  const loaded = await openProject(invocation, args)
  const names = [...withNeeded(loaded.project.services, args.length > 0 ? args : Object.keys(loaded.project.services))]
  await bringUp(invocation, session, loaded, names, { starts: false, freshVolumes: false })
}
