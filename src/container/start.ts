import { writeFileSync } from 'node:fs'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Place, RunRequest } from '#runner/protocol.ts'
import type { Job } from '#runner/runner.ts'
import type { Stdio } from '#runner/stdio.ts'
import { layout, placeOf } from '#store/layout.ts'
import type { LocalStore } from '#store/open.ts'
import { refresh, removeContainer, updateContainer, type ContainerRecord } from './container.ts'
import { directoryOf, stopContainer } from './control.ts'
import { endGuard } from './guard.ts'
import { beginHealth } from './health.ts'
import { prepareNetwork, type PreparedNetwork } from './connect.ts'
import { explainPort } from './port.ts'
import { wasShort } from './restart.ts'
import { joinNamespaces, type JoinedNamespaces } from './joins.ts'
import { openLogFile, type OpenLogFile } from './log-file.ts'
import { openMounts, type OpenMounts } from './mounts.ts'
import { readStatus, type ContainerStatus } from './status.ts'
import { guardContainer, type OwnProgram } from './supervise.ts'
import { lowerTrees, upperTree } from './tree.ts'

export interface StartOptions {
  readonly detach: boolean
  readonly stdio: Stdio
  /** `ctrl-p,ctrl-q` form. Empty: none. */
  readonly detachKeys?: string
  /** How this program is called again. Absent: a restart policy has no effect. */
  readonly program?: OwnProgram
  /** The container was up, has ended, and its restart policy wants it back. */
  readonly again?: boolean
  /** The first process's id, and how to pass it a signal. */
  readonly onStarted?: (pid: number, deliver: (signal: NodeJS.Signals) => void) => void
}

export interface StartResult {
  /** The command's own, 128 + n after signal n. Absent if detached. */
  readonly exitCode?: number
  readonly oomKilled?: boolean
  /** Also when a person left it with the detach keys. */
  readonly detached: boolean
}

/**
 * Starts a container, and waits for its end unless it is detached. One that removes itself is gone when this returns.
 *
 * @throws StaveError `container-state` if it runs; `command-not-found`, `command-not-executable`, `isolation`, …
 */
export async function startContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: StartOptions,
): Promise<StartResult> {
  const status = readStatus(store, container)
  refuseStarted(container, status)
  const { again = false } = options
  // Of two that would start it, one is enough.
  if (status.state === 'restarting' && !again) endGuard(store, container.id)
  const counts = container.restart === undefined ? {} : restartCounts(container, status, again)
  if (container.restart !== undefined) updateContainer(store, container, counts)
  beginHealth(store, container.id, container.health)
  let detached = options.detach
  let guarded: Promise<void> | undefined
  try {
    const lowers = await lowerTrees(cx, store, container)
    using log = openLogFile(container)
    using joined = joinNamespaces(store, container)
    using network = await prepareNetwork(cx, store, container)
    using mounts = await openMounts(cx, store, container, network.files)
    const userns = network.userns ?? joined.userns
    const result = await store.runner.run(cx, runOf(store, container, options, { lowers, log, joined, network, mounts }), options.stdio, {
      onStarted(pid, deliver) {
        guarded = guardContainer(cx, store, { ...container, ...counts }, options.program).catch((error: unknown) => warn(cx, error))
        if (container.pidFile !== undefined) writePid(cx, container.pidFile, pid)
        options.onStarted?.(pid, deliver)
      },
      ...(userns !== undefined && { userns }),
    })
    detached = result.detached ?? false
    return {
      detached,
      ...(result.exitCode !== undefined && { exitCode: result.exitCode }),
      ...(result.oomKilled !== undefined && { oomKilled: result.oomKilled }),
    }
  } catch (error) {
    // It never came to run (or was cancelled): there is nothing that would be left detached.
    detached = false
    throw explainPort(store, container, error)
  } finally {
    await guarded
    if (container.autoRemove && !detached) await remove(cx, store, container)
  }
}

/** @throws StaveError `container-state` */
function refuseStarted({ name }: ContainerRecord, { state }: ContainerStatus): void {
  if (state !== 'running' && state !== 'paused') return
  throw new StaveError('container-state', `cannot start the container ${name}: it is ${state} already`, {
    ...(state === 'paused' && { hint: `Let it go on: stave unpause ${name}` }),
  })
}

/** What a restart policy goes by: how often it was started again, and how often in a row after a short life. */
function restartCounts(
  { restarts = 0, streak = 0 }: ContainerRecord,
  { startedAt, finishedAt }: ContainerStatus,
  again: boolean,
): Required<Pick<ContainerRecord, 'stopped' | 'restarts' | 'streak'>> {
  return {
    stopped: false,
    restarts: again ? restarts + 1 : 0,
    streak: again && wasShort(startedAt, finishedAt) ? streak + 1 : 0,
  }
}

/** What was opened or made ready for one start. */
interface Prepared {
  readonly lowers: readonly Place[]
  readonly log: OpenLogFile
  readonly joined: JoinedNamespaces
  readonly network: PreparedNetwork
  readonly mounts: OpenMounts
}

/** The container as the runner is told of it. */
function runOf(store: LocalStore, container: ContainerRecord, options: StartOptions, prepared: Prepared): Job<RunRequest> {
  const { lowers, log, joined, network, mounts } = prepared
  const { directory } = directoryOf(store, container)
  return {
    id: container.id,
    root: {
      lowers,
      upper: upperTree(store, container),
      work: placeOf(store, layout.containerWork(container.id)),
      ...(container.readonly && { readonly: true }),
      ...(container.autoRemove && { volatile: true }),
    },
    spec: {
      ...container.spec,
      mounts: [...joined.mounts, ...mounts.mounts],
      namespaces: { ...container.spec.namespaces, ...joined.namespaces, ...network.namespaces },
    },
    ...(network.network !== undefined && { network: network.network }),
    container: {
      directory,
      log: container.log ?? (options.detach || !container.autoRemove),
      ...(log.options !== undefined && { logOptions: log.options }),
      ...(container.cgroupParent !== undefined && { cgroupParent: container.cgroupParent }),
      detach: options.detach,
      ...(options.detachKeys !== undefined && { detachKeys: options.detachKeys }),
    },
    stopTimeout: container.stopTimeout,
    ...(container.timeout !== undefined && { timeout: container.timeout }),
    ...(container.runtime !== undefined && { runtime: { program: container.runtime, directory } }),
  }
}

/** A container that runs is not ended for a file that cannot be written. */
function writePid(cx: Context, file: string, pid: number): void {
  try {
    writeFileSync(file, String(pid))
  } catch (error) {
    cx.report({ type: 'warning', message: `the container runs, but its process id cannot be written: ${(error as Error).message}` })
  }
}

function warn(cx: Context, error: unknown): void {
  const why = error instanceof Error ? error.message : String(error)
  cx.report({ type: 'warning', message: `the container runs, but its health is not checked and it is not started again: ${why}` })
}

/** Its end is not the user's business any more, so cancelling does not stop it. */
async function remove(cx: Context, store: LocalStore, container: ContainerRecord): Promise<void> {
  await removeContainer({ signal: new AbortController().signal, report: (event) => cx.report(event) }, store, container, {
    force: true,
    volumes: true,
  })
}

/** Stops it if it runs, and starts it detached. */
export async function restartContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: Pick<StartOptions, 'program'> & { readonly timeoutSeconds?: number },
): Promise<StartResult> {
  const { timeoutSeconds, ...others } = options
  await stopContainer(cx, store, container, timeoutSeconds)
  return startContainer(cx, store, refresh(store, container), {
    ...others,
    detach: true,
    stdio: { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' },
  })
}
