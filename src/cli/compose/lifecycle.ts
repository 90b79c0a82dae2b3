import { removeContainer } from '#container/container.ts'
import { killContainer, pauseContainer, stopContainer, unpauseContainer } from '#container/control.ts'
import { isUp } from '#container/status.ts'
import { startContainer } from '#container/start.ts'
import { waves } from '#compose/order.ts'
import type { Context } from '#context.ts'
import { parseSignal } from '#text/signal.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation, Flags } from '../command.ts'
import { ownProgram } from '../own-program.ts'
import { openSession } from '../session.ts'
import type { killFlags, projectFlags, restartFlags, rmFlags, stopFlags } from './commands.ts'
import { chosenMembers, isRunning, openNamed, type Member } from './project.ts'

const silent = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } as const

/** Does the same to the containers of services, in the order in which they need each other or against it. */
async function each<F extends Flags>(
  invocation: Invocation<F>,
  direction: 'forwards' | 'backwards',
  done: string,
  act: (cx: Context, store: LocalStore, member: Member) => Promise<boolean>,
): Promise<void> {
  const { cx, args, settings, report } = invocation
  await using session = await openSession(settings)
  const named = await openNamed(invocation as never)
  const members = chosenMembers(session.store, named, args)
  const levels = named.loaded === undefined ? [] : waves(named.loaded.project.services)
  const known = new Set(levels.flat())
  const order = [
    members.filter(({ service }) => !known.has(service)),
    ...levels.map((level) => members.filter(({ service }) => level.includes(service))),
  ]
  for (const level of direction === 'forwards' ? order : order.toReversed()) {
    await Promise.all(
      level.map(async (member) => {
        if (await act(cx, session.store, member)) report.note(`container ${member.container.name} ${done}`)
      }),
    )
  }
}

export async function start(invocation: Invocation<typeof projectFlags>): Promise<void> {
  await each(invocation, 'forwards', 'started', async (cx, store, { container }) => {
    if (isRunning(container)) return false
    await startContainer(cx, store, container, { detach: true, stdio: silent, program: ownProgram(invocation.settings) })
    return true
  })
}

export async function stop(invocation: Invocation<typeof stopFlags>): Promise<void> {
  await each(invocation, 'backwards', 'stopped', async (cx, store, { container }) => {
    if (!isUp(container.status)) return false
    await stopContainer(cx, store, container, invocation.flags.timeout)
    return true
  })
}

export async function restart(invocation: Invocation<typeof restartFlags>): Promise<void> {
  await each(invocation, 'forwards', 'restarted', async (cx, store, { container }) => {
    await stopContainer(cx, store, container, invocation.flags.timeout)
    await startContainer(cx, store, container, { detach: true, stdio: silent, program: ownProgram(invocation.settings) })
    return true
  })
}

export async function pause(invocation: Invocation<typeof projectFlags>): Promise<void> {
  await each(invocation, 'backwards', 'paused', async (cx, store, { container }) => {
    if (container.status.state !== 'running') return false
    await pauseContainer(cx, store, container)
    return true
  })
}

export async function unpause(invocation: Invocation<typeof projectFlags>): Promise<void> {
  await each(invocation, 'forwards', 'unpaused', async (cx, store, { container }) => {
    if (container.status.state !== 'paused') return false
    await unpauseContainer(cx, store, container)
    return true
  })
}

export async function kill(invocation: Invocation<typeof killFlags>): Promise<void> {
  const signal = parseSignal(invocation.flags.signal ?? 'KILL')
  await each(invocation, 'backwards', 'killed', async (cx, store, { container }) => {
    if (!isRunning(container)) return false
    // As in docker: after SIGKILL it does not run any more.
    await killContainer(cx, store, container, signal, { wait: signal === 9 })
    return true
  })
}

export async function rm(invocation: Invocation<typeof rmFlags>): Promise<void> {
  const { flags } = invocation
  await each(invocation, 'backwards', 'removed', async (cx, store, { container }) => {
    if (isRunning(container)) {
      if (!flags.stop) return false
      await stopContainer(cx, store, container)
    }
    await removeContainer(cx, store, container, { force: flags.stop ?? false, volumes: flags.volumes ?? false })
    return true
  })
}
