import { unpauseContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { openSession } from '../session.ts'

export async function run({ cx, args, settings, report }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  return await forEachContainer(report, session.store, args, {}, (container) => unpauseContainer(cx, session.store, container))
}
