import { findContainer } from '#container/container.ts'
import { attachContainer } from '#container/exec.ts'
import { startContainer } from '#container/start.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { forEachContainer } from './each.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { startFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report, forwardSignals }: Invocation<typeof startFlags>): Promise<number> {
  await using session = await openSession(settings)
  const { store } = session
  if (flags.attach || flags.interactive) {
    if (args.length > 1) throw new StaveError('usage', 'stave start: with --attach one container is started at a time')
    const container = findContainer(store, args[0]!)
    const stdio = containerStdio({ interactive: flags.interactive, tty: container.spec.terminal })
    const keys = { ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }) }
    // One that runs already is joined, as docker does.
    if (container.status.state === 'running')
      return await attachContainer(cx, store, container, { interactive: flags.interactive ?? false, ...keys }, stdio)
    const result = await startContainer(cx, store, container, {
      detach: false,
      stdio,
      ...(!container.spec.terminal && { onStarted: (_, deliver) => forwardSignals(deliver) }),
      ...keys,
    })
    return result.exitCode ?? 0
  }
  return await forEachContainer(report, store, args, {}, async (container) => {
    if (container.status.state === 'running') return
    await startContainer(cx, store, container, { detach: true, stdio: { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } })
  })
}
