import { findContainer, listContainers, type Container } from '#container/container.ts'
import { attachContainer } from '#container/exec.ts'
import { wantsRestart, wantsStart } from '#container/restart.ts'
import { startContainer } from '#container/start.ts'
import type { OwnProgram } from '#container/supervise.ts'
import type { Context } from '#context.ts'
import { StaveError, hasCode } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { chooseContainers, forEachContainer, isActive } from './each.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { startFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report, forwardSignals }: Invocation<typeof startFlags>): Promise<number> {
  await using session = await openSession(settings)
  const { store } = session
  const program = ownProgram(settings)
  if (flags.restarting) return await startWanted(cx, store, args, program)
  if (flags.attach || flags.interactive) {
    const [chosen, another] = chooseContainers(store, args, flags)
    if (chosen === undefined || another !== undefined || flags.all)
      throw new StaveError('usage', 'stave start: with --attach one container is started at a time')
    const container = chosen.find()
    const stdio = containerStdio({ interactive: flags.interactive, tty: container.spec.terminal })
    const keys = { ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }) }
    // One that runs already is joined, as docker does.
    if (container.status.state === 'running')
      return await attachContainer(cx, store, container, { interactive: flags.interactive ?? false, ...keys }, stdio)
    const result = await startContainer(cx, store, container, {
      detach: false,
      program,
      stdio,
      ...(!container.spec.terminal && { onStarted: (_, deliver) => forwardSignals(deliver) }),
      ...keys,
    })
    return result.exitCode ?? 0
  }
  return await forEachContainer(report, store, args, { ...flags, wanted: (container) => !isActive(container) }, async (container) => {
    if (container.status.state === 'running') return
    await startContainer(cx, store, container, { detach: true, stdio: noStdio, program })
  })
}

const noStdio = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } as const

/**
 * Starts those that their restart policy wants up: a named one that has just ended, or, where none is named, all of them,
 * as after a reboot. @returns the exit status
 */
async function startWanted(cx: Context, store: LocalStore, names: readonly string[], program: OwnProgram): Promise<number> {
  const isNamed = names.length > 0
  const found = isNamed ? names.flatMap((name) => findStill(store, name)) : listContainers(store)
  let status = 0
  for (const container of found) {
    const { state, exitCode = 0 } = container.status
    if (state !== 'exited' && state !== 'restarting') continue
    if (!(isNamed ? wantsRestart(container, exitCode) : wantsStart(container, exitCode))) continue
    try {
      await startContainer(cx, store, container, { detach: true, stdio: noStdio, program, again: isNamed })
    } catch (error) {
      cx.report({ type: 'warning', message: `cannot start ${container.name} again: ${(error as Error).message}` })
      status = 1
    }
  }
  return status
}

/** One that was removed meanwhile is no error. */
function findStill(store: LocalStore, name: string): Container[] {
  try {
    return [findContainer(store, name)]
  } catch (error) {
    if (hasCode(error, 'not-found')) return []
    throw error
  }
}
