import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Stdio } from '#runner/stdio.ts'
import type { LocalStore } from '#store/open.ts'
import { allCapabilities } from '#sandbox/capability.ts'
import type { ContainerRecord } from './container.ts'
import { directoryOf } from './control.ts'
import { mergeEnv } from './spec.ts'
import { readStatus } from './status.ts'

export interface ExecOptions {
  readonly command: readonly string[]
  /** `KEY=value`, over the container's own. */
  readonly env?: readonly string[]
  readonly user?: string
  readonly workdir?: string
  readonly terminal?: boolean
  readonly interactive?: boolean
  readonly privileged?: boolean
  readonly detach?: boolean
}

/**
 * Runs one more command in a running container. Its exit status; 0 if detached.
 *
 * @throws StaveError `container-state`, `command-not-found` (127), `command-not-executable` (126)
 */
export async function execContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: ExecOptions,
  stdio: Stdio,
): Promise<number> {
  requireRunning(store, container, 'cannot run a command in')
  const { spec } = container
  const user = options.user ?? spec.user
  const privileged = options.privileged ?? spec.privileged ?? false
  const result = await store.runner.exec(
    cx,
    {
      container: directoryOf(store, container),
      spec: {
        args: options.command,
        env: mergeEnv(options.terminal ? ['TERM=xterm'] : [], spec.env, options.env ?? []),
        cwd: options.workdir ?? spec.cwd,
        ...(user !== undefined && user !== '' && { user }),
        ...(spec.additionalGroups !== undefined && { additionalGroups: spec.additionalGroups }),
        ...(options.terminal && { terminal: true }),
        ...(options.interactive && { interactive: true }),
        capabilities: privileged ? allCapabilities : spec.capabilities,
        ...(spec.noNewPrivileges && { noNewPrivileges: true }),
        seccomp: privileged ? 'unconfined' : spec.seccomp,
        ...(privileged && { privileged }),
      },
      ...(options.detach && { detach: true }),
    },
    stdio,
  )
  return result.exitCode ?? 0
}

/** Connects to the standard streams of a detached container, until it ends or is left. Its exit status; 0 if it was left. */
export async function attachContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: { readonly interactive?: boolean; readonly detachKeys?: string },
  stdio: Stdio,
): Promise<number> {
  requireRunning(store, container, 'cannot attach to')
  const interactive = options.interactive ?? container.spec.interactive ?? false
  const job = {
    container: directoryOf(store, container),
    interactive,
    ...(options.detachKeys !== undefined && { detachKeys: options.detachKeys }),
  }
  return (await store.runner.attach(cx, job, stdio)).exitCode ?? 0
}

function requireRunning(store: LocalStore, container: ContainerRecord, what: string): void {
  const { state } = readStatus(store, container)
  if (state === 'running') return
  throw new StaveError('container-state', `${what} the container ${container.name}: it is ${state === 'created' ? 'not started' : state}`)
}
