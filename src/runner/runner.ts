import { closeSync, constants, openSync } from 'node:fs'
import type { Context } from '#context.ts'
import { StaveError, hasCode } from '#error.ts'
import type { Stdio } from './stdio.ts'
import { startRunner, type LocalRequest, type RunnerProcess } from './process.ts'
import type {
  AttachRequest,
  BundleRequest,
  BundleResult,
  CopyRequest,
  CopyResult,
  DiffRequest,
  DiffResult,
  DigestRequest,
  DigestResult,
  ExecRequest,
  ExecResult,
  GuardRequest,
  LimitRequest,
  ProbeResult,
  ReadRequest,
  ReadResult,
  RemoveRequest,
  Results,
  RunRequest,
  RunResult,
  RunnerEvent,
  NetworkRequest,
  SignalRequest,
  UnpackRequest,
  UnpackResult,
  UnshareRequest,
  UserNamespace,
  Verb,
} from './protocol.ts'

/** A request as a caller writes it: version and user namespace are the runner's business, and so is the verb. */
export type Job<R> = Omit<R, 'version' | 'userns' | 'verb'>

/**
 * The native half: a few verbs over file trees, each its own process. The `fd` of a Place in a job is a descriptor
 * that is open in this process (the store's root, a build context); the runner passes it down and renumbers it.
 *
 * Every verb fails with a StaveError whose code says which (`escape`, `digest-mismatch`, `no-space`, …).
 */
export interface Runner extends AsyncDisposable {
  probe(cx: Context): Promise<ProbeResult>
  unpack(cx: Context, job: Job<UnpackRequest>): Promise<UnpackResult>
  remove(cx: Context, job: Job<RemoveRequest>): Promise<void>
  diff(cx: Context, job: Job<DiffRequest>): Promise<DiffResult>
  digest(cx: Context, job: Job<DigestRequest>): Promise<DigestResult>
  copy(cx: Context, job: Job<CopyRequest>): Promise<CopyResult>
  read(cx: Context, job: Job<ReadRequest>): Promise<ReadResult>
  /** `onExit` is called as soon as the process has ended, before its layer is made. */
  run(cx: Context, job: Job<RunRequest>, stdio: Stdio, hooks?: RunHooks): Promise<RunResult>
  exec(cx: Context, job: Job<ExecRequest>, stdio: Stdio): Promise<ExecResult>
  signal(cx: Context, job: Job<SignalRequest>): Promise<void>
  limit(cx: Context, job: Job<LimitRequest>): Promise<void>
  /** `userns` as for `run`: the one that owns the namespace that has the bridges. */
  network(cx: Context, job: Job<NetworkRequest>, userns?: number): Promise<void>
  attach(cx: Context, job: Job<AttachRequest>, stdio: Stdio): Promise<ExecResult>
  bundle(cx: Context, job: Job<BundleRequest>): Promise<BundleResult>
  /** Comes back at once: the guard stays. */
  guard(cx: Context, job: Job<GuardRequest>): Promise<void>
  /** `onStarted` gets what passes a signal on to the command. */
  unshare(
    cx: Context,
    job: Job<UnshareRequest>,
    stdio: Stdio,
    onStarted: (deliver: (signal: NodeJS.Signals) => void) => void,
  ): Promise<ExecResult>
}

export interface RunHooks {
  /** An open user namespace that the container is made in, in place of this invocation's own. */
  readonly userns?: number
  /** @param deliver Passes a signal on to the command. */
  onStarted?(pid: number, deliver: (signal: NodeJS.Signals) => void): void
  onExit?(exitCode: number): void
}

export interface RunnerOptions {
  /** The native program: see `locateRunner`. */
  readonly binary: string
  /** The effective user id. Root works as it is, everybody else in a user namespace. */
  readonly uid: number
  /** A directory on the store's file system, for `probe`. It is opened when it is needed. */
  readonly root: string
  /** What the native program gets as environment; it looks for `newuidmap` in PATH. */
  readonly env?: Readonly<Record<string, string>>
  /** Which user namespace somebody other than root works in: with subordinate ids, else with a single one. Default: the first that can be had. */
  readonly userns?: 'auto' | 'subid' | 'single'
}

/** The runner that starts `stave-runner` for every job. */
export function createRunner(options: RunnerOptions): Runner {
  const env = options.env ?? { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }
  let namespace: Promise<Namespace> | undefined

  function start<V extends Verb>(cx: Context, request: LocalRequest<V>, extra: JobExtra<V> = {}): Promise<Results[V]> {
    const { onProcess, userns: _, ...rest } = extra
    const process = startRunner<V>({
      binary: options.binary,
      env,
      request,
      signal: cx.signal,
      ...rest,
      onEvent: extra.onEvent ?? warnings(cx),
    })
    onProcess?.(process)
    return process.result
  }
  async function job<V extends Verb>(cx: Context, request: LocalRequest<V>, extra: JobExtra<V> = {}): Promise<Results[V]> {
    if (options.uid === 0) return start(cx, request, extra)
    if (extra.userns !== undefined) return start(cx, { ...request, userns: { mode: 'join', fd: extra.userns } }, extra)
    namespace ??= holdNamespace(cx, options, env).catch((error: unknown) => {
      namespace = undefined
      throw error
    })
    const { fd } = await namespace
    return start(cx, { ...request, userns: { mode: 'join', fd } }, extra)
  }

  return {
    async probe(cx) {
      const fd = openSync(options.root, constants.O_RDONLY | constants.O_DIRECTORY)
      try {
        return await start<'probe'>(cx, { verb: 'probe', store: { fd } })
      } finally {
        closeSync(fd)
      }
    },
    unpack: (cx, request) => job<'unpack'>(cx, { verb: 'unpack', ...request }),
    async remove(cx, request) {
      if (request.trees.length > 0) await job<'remove'>(cx, { verb: 'remove', ...request })
    },
    diff: (cx, request) => job<'diff'>(cx, { verb: 'diff', ...request }),
    digest: (cx, request) => job<'digest'>(cx, { verb: 'digest', ...request }),
    copy: (cx, request) => job<'copy'>(cx, { verb: 'copy', ...request }),
    read: (cx, request) => job<'read'>(cx, { verb: 'read', ...request }),
    run: (cx, request, stdio, hooks) => job<'run'>(cx, { verb: 'run', ...request }, runExtra(cx, request, stdio, hooks)),
    // These five act on a container that has its own namespaces, the user namespace included: the runner joins those
    // from here, which a namespace beside it could not (setns needs privilege in the parent of the target).
    exec: (cx, request, stdio) => start<'exec'>(cx, { verb: 'exec', ...request }, { stdio }),
    async signal(cx, request) {
      await start<'signal'>(cx, { verb: 'signal', ...request })
    },
    async limit(cx, request) {
      await start<'limit'>(cx, { verb: 'limit', ...request })
    },
    async network(cx, request, userns) {
      await job<'network'>(cx, { verb: 'network', ...request }, userns === undefined ? {} : { userns })
    },
    attach: (cx, request, stdio) => start<'attach'>(cx, { verb: 'attach', ...request }, { stdio }),
    bundle: (cx, request) => job<'bundle'>(cx, { verb: 'bundle', ...request }),
    async guard(cx, request) {
      await start<'guard'>(cx, { verb: 'guard', ...request })
    },
    unshare: (cx, request, stdio, onStarted) =>
      job<'unshare'>(cx, { verb: 'unshare', ...request }, { stdio, onProcess: (process) => onStarted(process.deliver) }),
    async [Symbol.asyncDispose]() {
      const held = await namespace?.catch(() => undefined)
      namespace = undefined
      if (held === undefined) return
      held.holder.ref()
      held.holder.close()
      closeSync(held.fd)
      await held.holder.result
    },
  }
}

interface JobExtra<V extends Verb> {
  readonly onProcess?: (process: RunnerProcess<V>) => void
  readonly stdio?: Stdio
  readonly onEvent?: (event: RunnerEvent<V>) => void
  readonly graceMs?: number
  readonly userns?: number
}

/** What of a run is told as it happens, and how long it may take to stop. */
function runExtra(cx: Context, { stopTimeout = 10 }: Job<RunRequest>, stdio: Stdio, hooks: RunHooks | undefined): JobExtra<'run'> {
  let process: RunnerProcess<'run'> | undefined
  return {
    stdio,
    onEvent(event) {
      if (event.event === 'started') hooks?.onStarted?.(event.pid, (signal) => process?.deliver(signal))
      else if (event.event === 'exit') hooks?.onExit?.(event.exitCode)
      else if (event.event === 'warning') cx.report({ type: 'warning', message: event.message })
    },
    onProcess: (started) => (process = started),
    ...(hooks?.userns !== undefined && { userns: hooks.userns }),
    graceMs: (stopTimeout + 5) * 1000,
  }
}

interface Namespace {
  readonly fd: number
  readonly holder: RunnerProcess<'hold'>
}

function warnings(cx: Context): (event: { readonly event: string; readonly message?: string }) => void {
  return (event) => {
    if (event.event === 'warning') cx.report({ type: 'warning', message: event.message ?? '' })
  }
}

/** The user namespace of this invocation: mapped once, because `newuidmap` costs more than a job. */
async function holdNamespace(cx: Context, options: RunnerOptions, env: Readonly<Record<string, string>>): Promise<Namespace> {
  if (options.userns === 'single') return hold(options, env, 'single')
  try {
    return await hold(options, env, 'create')
  } catch (error) {
    if (options.userns === 'subid' || !hasCode(error, 'isolation', 'unsupported', 'permission')) throw error
    const single = await hold(options, env, 'single').catch(() => undefined)
    if (single === undefined) throw error
    cx.report({
      type: 'warning',
      message: `only this user's own id can be mapped, so files of other owners are kept as if they were yours: ${error.message}`,
      hint: error.hint ?? 'Install newuidmap (package uidmap) and give this user ranges in /etc/subuid and /etc/subgid.',
    })
    return single
  }
}

function hold(
  options: RunnerOptions,
  env: Readonly<Record<string, string>>,
  mode: Exclude<UserNamespace['mode'], 'join'>,
): Promise<Namespace> {
  return new Promise((resolve, reject) => {
    const holder = startRunner<'hold'>({
      binary: options.binary,
      env,
      request: { verb: 'hold', userns: { mode } },
      // It outlives the operation that needed it first: it is this invocation's, not that operation's.
      signal: new AbortController().signal,
      onEvent(event) {
        if (event.event !== 'ready') return
        try {
          const fd = openSync(`/proc/${holder.pid}/ns/user`, constants.O_RDONLY)
          holder.unref()
          resolve({ fd, holder })
        } catch (error) {
          holder.close()
          reject(new StaveError('isolation', 'cannot open the user namespace that was just made', { cause: error }))
        }
      },
    })
    holder.result.then(
      () => reject(new StaveError('runner', 'stave-runner hold ended before it was ready')),
      (error: unknown) => reject(error),
    )
  })
}
