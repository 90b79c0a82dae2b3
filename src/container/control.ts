import { layout, placeOf } from '#store/layout.ts'
import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './record.ts'
import { readStatus, type ContainerStatus } from './status.ts'
import { parseSignal } from '#text/signal.ts'

/** What is asked of a container here. */
type Named = Pick<ContainerRecord, 'id' | 'name' | 'paused'>

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
  if (before.state !== 'created' && state === 'created') {
    throw new StaveError('container-state', `cannot tell how the container ${container.name} ended: it was removed meanwhile`)
  }
  return exitCode
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
