import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from '#context.ts'
import type { Container } from '#container/container.ts'
import { refresh } from '#container/container.ts'
import { execContainer } from '#container/exec.ts'
import { healthCommand } from '#container/health.ts'
import { StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'

/** How long lies between two looks at most, in milliseconds: who waits wants to go on. */
const pauseMs = 500

/**
 * Waits until the health check of a container succeeds, which was settled when it was made: that of its service, else of its image.
 *
 * @throws StaveError `container-state` if it has none, ends, or is not healthy after all tries
 */
export async function waitHealthy(cx: Context, store: LocalStore, container: Container): Promise<void> {
  const check = container.health
  if (check === undefined) throw new StaveError('container-state', `the container ${container.name} has no health check`)
  const command = healthCommand(check, container.shell)
  const started = Date.now()
  const lastMs = check.startPeriodMs + check.retries * (check.intervalMs + check.timeoutMs)
  for (;;) {
    const { status } = refresh(store, container)
    if (status.state !== 'running')
      throw new StaveError('container-state', `the container ${container.name} is ${status.state}, with status ${status.exitCode ?? 0}`)
    if (await succeeds(cx, store, container, command, check.timeoutMs)) return
    if (Date.now() - started > lastMs)
      throw new StaveError('container-state', `the container ${container.name} is unhealthy: ${command.join(' ')} did not succeed`)
    await delay(Math.min(pauseMs, check.intervalMs), undefined, { signal: cx.signal })
  }
}

async function succeeds(
  cx: Context,
  store: LocalStore,
  container: Container,
  command: readonly string[],
  timeoutMs: number,
): Promise<boolean> {
  const late = AbortSignal.timeout(timeoutMs)
  const inTime: Context = { ...cx, signal: AbortSignal.any([cx.signal, late]) }
  try {
    const stdio = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } as const
    return (await execContainer(inTime, store, container, { command }, stdio)) === 0
  } catch (error) {
    cx.signal.throwIfAborted()
    if (late.aborted) return false
    // A check that is not there fails like one that says no; whether the container has ended is asked next.
    if (error instanceof StaveError) return false
    throw error
  }
}
