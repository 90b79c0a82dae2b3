import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import { directoryOf } from './control.ts'
import type { ContainerRecord } from './record.ts'
import { execSpec } from './exec.ts'
import { healthCommand } from './health.ts'
import { restartDelayMs } from './restart.ts'

/** How this program is called again, for what is to happen when nobody is there. */
export interface OwnProgram {
  /** An absolute path, and the words that go before a command. */
  readonly words: readonly string[]
  /** `KEY=value`. */
  readonly env: readonly string[]
}

/**
 * Starts the guard of a container that was just started: it checks its health, and starts it again when it has ended.
 *
 * @param program Absent: it is not started again.
 */
export async function guardContainer(cx: Context, store: LocalStore, container: ContainerRecord, program?: OwnProgram): Promise<void> {
  const { health, restart, streak = 0 } = container
  const starts = restart !== undefined && program !== undefined
  if (health === undefined && !starts) return
  await store.runner.guard(cx, {
    container: directoryOf(store, container),
    ...(health !== undefined && {
      health: {
        spec: execSpec(container, { command: healthCommand(health, container.shell) }),
        intervalMs: health.intervalMs,
        timeoutMs: health.timeoutMs,
        startPeriodMs: health.startPeriodMs,
        startIntervalMs: health.startIntervalMs,
        retries: health.retries,
      },
    }),
    ...(starts && {
      restart: {
        command: [...program.words, 'start', '--restarting', container.id],
        env: program.env,
        ...(restart.name === 'on-failure' && { onFailure: true }),
        delayMs: restartDelayMs(streak),
      },
    }),
  })
}
