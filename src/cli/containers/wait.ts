import { findContainer } from '#container/container.ts'
import { waitContainer } from '#container/control.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ cx, args, settings, report }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  const containers = args.map((name) => findContainer(session.store, name))
  const codes = await Promise.all(containers.map((container) => waitContainer(cx, session.store, container)))
  for (const code of codes) report.print(String(code))
}
