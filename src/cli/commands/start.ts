import { findContainer } from '#container/container.ts'
import { startContainer } from '#container/start.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from '../containers.ts'
import { openSession } from '../session.ts'
import { containerStdio } from '../stdio.ts'
import type { startFlags } from '../table/containers.ts'
import { asRunFailure } from './run.ts'

export async function run({ cx, flags, args, settings, report, forwardSignals }: Invocation<typeof startFlags>): Promise<number> {
  await using session = await openSession(settings)
  const { store } = session
  const containers = args.map((name) => findContainer(store, name))
  if (flags.attach || flags.interactive) {
    const [container] = containers
    try {
      const result = await startContainer(cx, store, container!, {
        detach: false,
        stdio: containerStdio({ interactive: flags.interactive, tty: container!.spec.terminal }),
        ...(!container!.spec.terminal && { onStarted: (_, deliver) => forwardSignals(deliver) }),
        ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }),
      })
      return result.exitCode ?? 0
    } catch (error) {
      throw asRunFailure(error)
    }
  }
  return await forEachContainer(report, containers, args, async (container) => {
    await startContainer(cx, store, container, { detach: true, stdio: { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } })
  })
}
