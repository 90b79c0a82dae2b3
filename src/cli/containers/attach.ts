import { findContainer } from '#container/container.ts'
import { attachContainer } from '#container/exec.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { attachFlags } from './commands.ts'

export async function run({ cx, flags, args, settings }: Invocation<typeof attachFlags>): Promise<number> {
  await using session = await openSession(settings)
  const container = findContainer(session.store, args[0]!)
  const interactive = !flags['no-stdin'] && (container.spec.interactive ?? false)
  return await attachContainer(
    cx,
    session.store,
    container,
    { interactive, ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }) },
    containerStdio({ interactive, tty: container.spec.terminal }),
  )
}
