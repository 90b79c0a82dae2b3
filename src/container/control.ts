import { layout, pathOf, placeOf } from '#store/layout.ts'
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { endGuard } from './guard.ts'
import { readHealth } from './health.ts'
import type { ContainerRecord } from './record.ts'
import { readStatus, type ContainerStatus } from './status.ts'
import { parseSignal } from '#text/signal.ts'

/** What is asked of a container here. */
type Named = Pick<ContainerRecord, 'id' | 'name' | 'paused' | 'restart' | 'restarts' | 'stopped'>

/** How long the processes of a killed container may take to be gone. */
const killSeconds = 30

/**
 * Sends the stop signal of the image or the container, and SIGKILL if that was not enough. Stopping what does not run is no error.
 *
 * @param timeoutSeconds Between the two. Default: the container's own, 10 if it has none. Negative: for ever.
 */
export async function stopContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  timeoutSeconds = container.stopTimeout,
): Promise<void> {
  const { state } = readStatus(store, container)
  // First of all: it is not to be started again.
  if (container.restart !== undefined) markStopped(store, container)
  if (state === 'running' || state === 'restarting') endGuard(store, container.id)
  if (state === 'restarting') await ends(cx, store, container, killSeconds)
  if (state !== 'running' && state !== 'paused') return
  if (state === 'paused') await unpauseContainer(cx, store, container)
  if (timeoutSeconds !== 0) {
    if (!(await send(cx, store, container, parseSignal(container.spec.stopSignal ?? 'TERM')))) return
    if (await ends(cx, store, container, timeoutSeconds < 0 ? Infinity : timeoutSeconds)) return
  }
  await killContainer(cx, store, container, 'KILL', { wait: true })
}

/**
 * Sends a signal to the container's first process.
 *
 * @throws StaveError `container-state` if it does not run
 */
export async function killContainer(
  cx: Context,
  store: LocalStore,
  container: Named,
  signal: string | number = 'KILL',
  options: { readonly wait?: boolean } = {},
): Promise<void> {
  const { state } = readStatus(store, container)
  if (state !== 'running' && state !== 'paused') {
    if (options.wait === true) return
    throw notRunning(container, `cannot send signal ${signal} to`, state)
  }
  const number = typeof signal === 'number' ? signal : parseSignal(signal)
  // What a person has ended is not started again (Docker's rule); other signals may mean anything.
  if (number === 9 && container.restart !== undefined) {
    markStopped(store, container)
    endGuard(store, container.id)
  }
  // A frozen process takes no signal before it thaws.
  if (state === 'paused' && number === 9) await unpauseContainer(cx, store, container)
  const sent = await send(cx, store, container, number)
  if (!sent && options.wait !== true) throw notRunning(container, `cannot send signal ${signal} to`, 'exited')
  if (options.wait === true && !(await ends(cx, store, container, killSeconds))) {
    throw new StaveError(
      'container-state',
      `cannot stop the container ${container.name}: its processes are still there ${killSeconds} seconds after SIGKILL`,
      {
        hint: 'A process in uninterruptible sleep (state D in ps) waits for a device or a network file system.',
      },
    )
  }
}

/** Freezes all its processes. */
export async function pauseContainer(cx: Context, store: LocalStore, container: ContainerRecord): Promise<void> {
  const { state } = readStatus(store, container)
  if (state !== 'running') throw notRunning(container, 'cannot pause', state)
  await store.runner.signal(cx, { container: directoryOf(store, container), signal: 0, action: 'pause' })
  setPaused(store, container, true)
}

export async function unpauseContainer(cx: Context, store: LocalStore, container: Named): Promise<void> {
  const { state } = readStatus(store, container)
  if (state !== 'paused') throw notRunning(container, 'cannot unpause', state)
  await store.runner.signal(cx, { container: directoryOf(store, container), signal: 0, action: 'resume' })
  setPaused(store, container, false)
}

/**
 * Waits for its end. The exit status; 0 of one that was never started.
 *
 * @throws StaveError `container-state` if it was removed meanwhile, and took its exit status along
 */
export async function waitContainer(cx: Context, store: LocalStore, container: ContainerRecord): Promise<number> {
  const before = readStatus(store, container)
  await ends(cx, store, container, Infinity)
  const { state, exitCode = 0 } = readStatus(store, container)
  if (before.state !== 'created' && state === 'created')
    throw new StaveError('container-state', `cannot tell how the container ${container.name} ended: it was removed meanwhile`)
  return exitCode
}

/** What can be waited for; `stopped` is either way of not being up. */
export const conditions = ['stopped', 'exited', 'running', 'paused', 'created', 'restarting', 'removing', 'healthy', 'unhealthy'] as const
export type Condition = (typeof conditions)[number]

/**
 * Waits until one of the conditions holds.
 *
 * @param intervalMs How often to look. Default: growing.
 * @returns the exit status of one that has ended, else -1; -1 too of one that was removed, if that is waited for
 * @throws StaveError `container-state` if it ends, or is removed, and what is waited for cannot come any more
 */
export async function waitForCondition(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  wanted: readonly Condition[],
  intervalMs?: number,
): Promise<number> {
  for (let pauseMs = intervalMs ?? 5; ; pauseMs = intervalMs ?? Math.min(pauseMs * 1.5, 100)) {
    if (!existsSync(pathOf(store, layout.container(container.id)))) {
      if (wanted.includes('removing')) return -1
      throw new StaveError('container-state', `cannot wait for ${wanted.join(' or ')}: the container ${container.name} was removed`)
    }
    const { state, exitCode = 0 } = readStatus(store, container)
    const health = state === 'running' ? readHealth(store, container.id)?.Status : undefined
    const holds: readonly string[] = [
      state,
      ...(health === undefined ? [] : [health]),
      ...(state === 'exited' || state === 'created' ? ['stopped'] : []),
    ]
    if (wanted.some((condition) => holds.includes(condition))) return state === 'exited' ? exitCode : -1
    await delay(pauseMs, undefined, { signal: cx.signal })
  }
}

export function directoryOf(
  store: LocalStore,
  container: Pick<ContainerRecord, 'id'>,
): { readonly directory: { readonly fd: number; readonly path: string } } {
  return { directory: placeOf(store, layout.container(container.id)) }
}

/** Once there are processes to pause, the record says so; the cgroup's freezer itself is the runner's. */
function setPaused(store: LocalStore, container: Named, paused: boolean): void {
  store.database.run(
    "UPDATE container SET record = json_set(record, '$.paused', json(?)) WHERE id = ?",
    paused ? 'true' : 'false',
    container.id,
  )
}

function markStopped(store: LocalStore, container: Named): void {
  store.database.run("UPDATE container SET record = json_set(record, '$.stopped', json('true')) WHERE id = ?", container.id)
}

async function send(cx: Context, store: LocalStore, container: Named, signal: number): Promise<boolean> {
  try {
    await store.runner.signal(cx, { container: directoryOf(store, container), signal })
    return true
  } catch (error) {
    // It ended by itself meanwhile.
    if (hasCode(error, 'container-state')) return false
    throw error
  }
}

async function ends(cx: Context, store: LocalStore, container: Named, seconds: number): Promise<boolean> {
  const deadline = performance.now() + seconds * 1000
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    const { state } = readStatus(store, container)
    if (state === 'exited' || state === 'created') return true
    if (performance.now() > deadline) return false
    await delay(pauseMs, undefined, { signal: cx.signal })
  }
}

function notRunning(container: Named, what: string, state: ContainerStatus['state']): StaveError {
  return new StaveError('container-state', `${what} the container ${container.name}: it is ${state === 'created' ? 'not started' : state}`)
}
