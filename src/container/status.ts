import { layout, pathOf } from '#store/layout.ts'
import { readFileSync } from 'node:fs'
import type { ContainerState, PublishedPort } from '#runner/protocol.ts'
import { isAlive } from '#store/owner.ts'
import type { LocalStore } from '#store/open.ts'
import { guardOf } from './guard.ts'
import { recordLost, unknownExit } from './lost.ts'
import { wantsRestart, type Restartable } from './restart.ts'

export interface ContainerStatus {
  /** `restarting`: it has ended, and waits to be started again. */
  readonly state: 'created' | 'running' | 'paused' | 'exited' | 'restarting'
  readonly pid?: number
  readonly exitCode?: number
  /** RFC 3339. */
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly oomKilled?: boolean
  readonly error?: string
  /** Published ports while it runs, with the numbers that they got. */
  readonly ports?: readonly PublishedPort[]
}

/**
 * How a container is now. `state.json` is written by the process that watches it; where that one and the container's
 * first process are both gone (a power cut, a kill -9 of all), it would say `running` for ever, and is put right.
 */
export function readStatus(
  store: Pick<LocalStore, 'root'>,
  container: { readonly id: string; readonly paused?: boolean } & Restartable,
): ContainerStatus {
  const state = readState(store, container.id)
  if (state === undefined || state.status === 'created')
    return { state: 'created', ...(state?.error !== undefined && { error: state.error }) }
  const { pid, pidStart, monitorPid, monitorStart, startedAt, finishedAt, oomKilled, error } = state
  const common = {
    ...(startedAt !== undefined && { startedAt }),
    ...(oomKilled !== undefined && { oomKilled }),
    ...(error !== undefined && { error }),
  }
  if (state.status === 'exited') {
    const exitCode = state.exitCode ?? unknownExit
    const waits = wantsRestart(container, exitCode) && guardOf(store, container.id) !== undefined
    return { state: waits ? 'restarting' : 'exited', exitCode, ...common, ...(finishedAt !== undefined && { finishedAt }) }
  }
  const lives = (id: number | undefined, start: number | undefined) =>
    id !== undefined && start !== undefined && isAlive({ pid: id, start })
  if (!lives(pid, pidStart) && !lives(monitorPid, monitorStart)) {
    // The monitor may have written the end between the first reading and the look at its process.
    const again = readState(store, container.id)
    if (again?.status === 'exited') return readStatus(store, container)
    // Started again meanwhile.
    if (again?.pid !== pid || again?.pidStart !== pidStart) return readStatus(store, container)
    const { finishedAt: seen, error: why } = recordLost(store, container.id, state)
    return { state: 'exited', exitCode: unknownExit, ...common, finishedAt: seen!, error: why! }
  }
  return {
    state: container.paused === true ? 'paused' : 'running',
    ...(pid !== undefined && { pid }),
    ...common,
    ...(state.ports !== undefined && { ports: state.ports }),
  }
}

/** Has it processes, frozen ones too, or will have them again in a moment? */
export function isUp({ state }: ContainerStatus): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting'
}

/** What is written down of it, true or not. */
export function readState(store: Pick<LocalStore, 'root'>, id: string): ContainerState | undefined {
  try {
    return JSON.parse(readFileSync(pathOf(store, layout.containerState(id)), 'utf8')) as ContainerState
  } catch (error) {
    // Not started yet. The file is replaced by rename, so it is never half.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}
