import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { ExecRequest, HealthState } from '#runner/protocol.ts'
import type { Stdio } from '#runner/stdio.ts'
import type { LocalStore } from '#store/open.ts'
import { allCapabilities } from '#sandbox/capability.ts'
import type { ContainerRecord } from './container.ts'
import { directoryOf } from './control.ts'
import { healthCommand, noteHealth } from './health.ts'
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
  readonly detachKeys?: string
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
  const result = await store.runner.exec(
    cx,
    {
      container: directoryOf(store, container),
      spec: execSpec(container, options),
      ...(options.detach && { detach: true }),
      ...(options.detachKeys !== undefined && { detachKeys: options.detachKeys }),
    },
    stdio,
  )
  return result.exitCode ?? 0
}

/** What a command in a container is given: what the container was, but for what the options say. */
export function execSpec({ spec }: ContainerRecord, options: ExecOptions): ExecRequest['spec'] {
  const user = options.user ?? spec.user
  const privileged = options.privileged ?? spec.privileged ?? false
  return {
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
    ...(spec.umask !== undefined && { umask: spec.umask }),
  }
}

/**
 * Checks the health of a running container once, and writes down what it says.
 *
 * @throws StaveError `container-state`; `unsupported` if there is nothing to check
 */
export async function checkHealth(cx: Context, store: LocalStore, container: ContainerRecord): Promise<HealthState['Log'][number]> {
  const { health } = container
  if (health === undefined) {
    throw new StaveError('unsupported', `cannot check the health of ${container.name}: it has no health check`, {
      hint: 'The image has a HEALTHCHECK, or stave run --health-cmd names one.',
    })
  }
  const Start = new Date().toISOString()
  const timeout = AbortSignal.timeout(health.timeoutMs)
  const bounded = { ...cx, signal: AbortSignal.any([cx.signal, timeout]) }
  const parts: Buffer[] = []
  const keep = (chunk: Buffer) => void (parts.length < mostChunks && parts.push(chunk))
  let ExitCode: number
  let said = ''
  try {
    const stdio = { stdin: 'ignore', stdout: keep, stderr: keep } as const
    ExitCode = await execContainer(bounded, store, container, { command: healthCommand(health, container.shell) }, stdio)
  } catch (error) {
    cx.signal.throwIfAborted()
    if (hasCode(error, 'container-state')) throw error
    ExitCode = -1
    said = timeout.aborted ? `the health check took longer than ${health.timeoutMs} ms` : (error as Error).message
  }
  const result = { Start, End: new Date().toISOString(), ExitCode, Output: Buffer.concat(parts).toString() + said }
  noteHealth(store, container.id, health, result)
  return result
}

/** As much of what a health check writes: only its beginning is kept. */
const mostChunks = 16

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
