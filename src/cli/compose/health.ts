import { setTimeout as delay } from 'node:timers/promises'
import type { Healthcheck } from '#compose/model.ts'
import type { Context } from '#context.ts'
import type { Container } from '#container/container.ts'
import { refresh } from '#container/container.ts'
import { execContainer } from '#container/exec.ts'
import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import { readDuration } from '#text/duration.ts'
import type { LocalStore } from '#store/open.ts'

/** How long lies between two looks at most, in milliseconds: who waits wants to go on. */
const pauseMs = 500

interface Check {
  readonly command: readonly string[]
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly startMs: number
  readonly retries: number
}

/**
 * Waits until the health check of a container succeeds: that of its service, else of its image.
 *
 * @throws StaveError `container-state` if it has none, ends, or is not healthy after all tries
 */
export async function waitHealthy(
  cx: Context,
  store: LocalStore,
  container: Container,
  healthcheck: Healthcheck | undefined,
): Promise<void> {
  const check = await checkOf(cx, store, container, healthcheck)
  if (check === undefined) throw new StaveError('container-state', `the container ${container.name} has no health check`)
  const started = Date.now()
  const lastMs = check.startMs + check.retries * (check.intervalMs + check.timeoutMs)
  for (;;) {
    const { status } = refresh(store, container)
    if (status.state !== 'running') {
      throw new StaveError('container-state', `the container ${container.name} is ${status.state}, with status ${status.exitCode ?? 0}`)
    }
    if (await succeeds(cx, store, container, check)) return
    if (Date.now() - started > lastMs) {
      throw new StaveError('container-state', `the container ${container.name} is unhealthy: ${check.command.join(' ')} did not succeed`)
    }
    await delay(Math.min(pauseMs, check.intervalMs), undefined, { signal: cx.signal })
  }
}

async function succeeds(cx: Context, store: LocalStore, container: Container, { command, timeoutMs }: Check): Promise<boolean> {
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

async function checkOf(cx: Context, store: LocalStore, container: Container, own: Healthcheck | undefined): Promise<Check | undefined> {
  if (own?.disable === true) return undefined
  const image = await openImage(cx, store, container.manifest)
    .then((found) => found.config(cx))
    .catch(() => undefined)
  const inherited = image?.config?.Healthcheck
  const test = own?.test ?? inherited?.Test ?? []
  const [kind, ...words] = test
  if (kind === undefined || kind === 'NONE') return undefined
  const command = kind === 'CMD-SHELL' ? ['/bin/sh', '-c', words.join(' ')] : words
  const ms = (text: string | undefined, nanoseconds: number | undefined, usual: number): number =>
    text !== undefined ? (readDuration(text) ?? 0) / 1e6 : nanoseconds !== undefined && nanoseconds > 0 ? nanoseconds / 1e6 : usual
  return {
    command,
    intervalMs: ms(own?.interval, inherited?.Interval, 30_000),
    timeoutMs: ms(own?.timeout, inherited?.Timeout, 30_000),
    startMs: ms(own?.start_period, inherited?.StartPeriod, 0),
    retries: own?.retries ?? (inherited?.Retries || 3),
  }
}
