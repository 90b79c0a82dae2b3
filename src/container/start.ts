import { accessSync, closeSync, constants, openSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Context } from '#context.ts'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import type { Place, RunMount } from '#runner/protocol.ts'
import type { Stdio } from '#runner/stdio.ts'
import { layout, placeOf } from '#store/layout.ts'
import type { LocalStore } from '#store/open.ts'
import { refresh, removeContainer, updateContainer, type ContainerRecord } from './container.ts'
import { directoryOf, stopContainer } from './control.ts'
import { endGuard } from './guard.ts'
import { beginHealth } from './health.ts'
import type { BindMount } from './mount.ts'
import { prepareNetwork } from './connect.ts'
import { explainPort } from './port.ts'
import { wasShort } from './restart.ts'
import type { SpecMount } from './spec.ts'
import { readStatus } from './status.ts'
import { guardContainer, type OwnProgram } from './supervise.ts'
import { lowerTrees, upperTree } from './tree.ts'
import { volumePlace } from './volume.ts'

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

/** Opens without access to the content: enough to mount it, and possible for what may be entered but not listed. */
const O_PATH = 0o10000000

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
  const { state, startedAt, finishedAt } = readStatus(store, container)
  if (state === 'running' || state === 'paused') {
    throw new StaveError('container-state', `cannot start the container ${container.name}: it is ${state} already`, {
      ...(state === 'paused' && { hint: `Let it go on: stave unpause ${container.name}` }),
    })
  }
  // Of two that would start it, one is enough.
  if (state === 'restarting' && options.again !== true) endGuard(store, container.id)
  const { again = false } = options
  const counts =
    container.restart === undefined
      ? {}
      : {
          stopped: false,
          restarts: again ? (container.restarts ?? 0) + 1 : 0,
          streak: again && wasShort(startedAt, finishedAt) ? (container.streak ?? 0) + 1 : 0,
        }
  if (container.restart !== undefined) updateContainer(store, container, counts)
  beginHealth(store, container.id, container.health)
  const opened: number[] = []
  let detached = options.detach
  let guarded: Promise<void> | undefined
  try {
    const lowers = await lowerTrees(cx, store, container)
    const { directory } = directoryOf(store, container)
    const { mounts, ...spec } = container.spec
    const runMounts: RunMount[] = []
    using network = await prepareNetwork(cx, store, container)
    for (const mount of mounts) runMounts.push(openMount(store, container, current(mount, network.files), opened))
    const result = await store.runner.run(
      cx,
      {
        id: container.id,
        root: {
          lowers,
          upper: upperTree(store, container),
          work: placeOf(store, layout.containerWork(container.id)),
          ...(container.readonly && { readonly: true }),
          ...(container.autoRemove && { volatile: true }),
        },
        spec: { ...spec, mounts: runMounts, namespaces: { ...spec.namespaces, ...network.namespaces } },
        ...(network.network !== undefined && { network: network.network }),
        container: {
          directory,
          log: container.log ?? (options.detach || !container.autoRemove),
          detach: options.detach,
          ...(options.detachKeys !== undefined && { detachKeys: options.detachKeys }),
        },
        stopTimeout: container.stopTimeout,
        ...(container.timeout !== undefined && { timeout: container.timeout }),
        ...(container.runtime !== undefined && { runtime: { program: container.runtime, directory } }),
      },
      options.stdio,
      {
        onStarted(pid, deliver) {
          guarded = guardContainer(cx, store, { ...container, ...counts }, options.program).catch((error: unknown) => warn(cx, error))
          if (container.pidFile !== undefined) writePid(cx, container.pidFile, pid)
          options.onStarted?.(pid, deliver)
        },
        ...(network.userns !== undefined && { userns: network.userns }),
      },
    )
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
    for (const fd of opened) closeSync(fd)
    if (container.autoRemove && !detached) await remove(cx, store, container)
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

/** Names are as they are now, unless the user has mounted files of his own in their place. */
function current(mount: SpecMount, files: ReadonlyMap<string, string>): SpecMount {
  const text = mount.type === 'content' ? files.get(mount.target) : undefined
  return text === undefined ? mount : ({ ...mount, base64: Buffer.from(text).toString('base64') } as SpecMount)
}

function openMount(store: LocalStore, container: ContainerRecord, mount: SpecMount, opened: number[]): RunMount {
  switch (mount.type) {
    case 'content':
    case 'tmpfs':
      return mount
    case 'volume': {
      const { name, target } = mount
      if (name === undefined) throw new TypeError(`the volume on ${target} was never made`)
      return { type: 'bind', source: volumePlace(store, name), target, ...(mount.readonly && { readonly: true }) }
    }
    case 'bind': {
      const { target, readonly, propagation, recursive } = mount
      const { source, isFile } = openSource(container, mount, opened)
      return {
        type: 'bind',
        source,
        target,
        ...(readonly && { readonly }),
        ...(propagation !== undefined && { propagation }),
        ...(recursive && { recursive }),
        ...(isFile && { file: true }),
      }
    }
    default:
      return mount satisfies never
  }
}

/** A directory is handed over open; a file (a socket, a device) as a name in its open directory, so that it can be found again in another mount namespace. */
function openSource(container: ContainerRecord, mount: BindMount, opened: number[]): { source: Place; isFile: boolean } {
  try {
    const path = realSource(mount)
    const isFile = !statSync(path).isDirectory()
    // Here it can be said which one may not be entered; the runner would fail in the middle of its mounts.
    if (!isFile) accessSync(path, constants.X_OK)
    const fd = openSync(isFile ? dirname(path) : path, O_PATH | constants.O_DIRECTORY)
    opened.push(fd)
    return { source: isFile ? { fd, path: basename(path) } : { fd }, isFile }
  } catch (error) {
    throw mountProblem(container, mount.source, error)
  }
}

/** Without symbolic links: the runner follows none. */
function realSource({ source, create }: BindMount): string {
  try {
    return realpathSync(source)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || create !== true) throw error
  }
  makeDirectories(source)
  return realpathSync(source)
}

function mountProblem(container: ContainerRecord, source: string, cause: unknown): StaveError {
  return new StaveError('container-start', `cannot start the container ${container.name}: ${source} cannot be mounted`, {
    cause,
    exitCode: 125,
    ...(['EACCES', 'EPERM'].includes(String((cause as NodeJS.ErrnoException).code)) && {
      hint: 'Only what this user may enter can be mounted.',
    }),
  })
}
