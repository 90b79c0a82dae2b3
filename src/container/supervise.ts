import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { directoryOf } from './control.ts'
import { updateContainer } from './container.ts'
import { endGuard } from './guard.ts'
import type { Container, ContainerRecord } from './record.ts'
import { execSpec } from './exec.ts'
import { healthCommand } from './health.ts'
import { restartDelayMs, wantsRestart, type RestartPolicy } from './restart.ts'

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

/**
 * Gives a container another restart policy, also while it runs.
 *
 * @param restart Absent: it is not started again any more.
 * @throws StaveError `conflict` for a container that removes itself
 */
export async function changeRestart(
  cx: Context,
  store: LocalStore,
  container: Container,
  restart: RestartPolicy | undefined,
  program: OwnProgram,
): Promise<void> {
  if (restart !== undefined && container.autoRemove)
    throw new StaveError('conflict', `cannot start ${container.name} again when it has ended: it was made with --rm`)
  if (restart === undefined) store.database.run("UPDATE container SET record = json_remove(record, '$.restart') WHERE id = ?", container.id)
  else updateContainer(store, container, { restart })
  const { restart: _before, ...others } = container
  const changed: ContainerRecord = { ...others, ...(restart !== undefined && { restart }) }
  const { state, exitCode = 0 } = container.status
  if (state === 'restarting' && !wantsRestart(changed, exitCode)) endGuard(store, container.id)
  if (state !== 'running' && state !== 'paused') return
  endGuard(store, container.id)
  await guardContainer(cx, store, changed, program)
}
