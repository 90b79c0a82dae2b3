import type { Context } from '#context.ts'
import type { Place, RunRequest, RunResult } from '#runner/protocol.ts'
import type { Job } from '#runner/runner.ts'
import type { Stdio } from '#runner/stdio.ts'
import type { Session } from '../session.ts'
import type { State } from '../solved.ts'
import type { ExecOp, Step } from '../plan/step.ts'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { placed, StaveError } from '#error.ts'
import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Store } from '#store/store.ts'
import { formatPlatform } from '#oci/platform.ts'
import { keepLayer, type MadeLayer } from './layer.ts'
import { sandboxOf, type Command } from './sandbox.ts'
import { rootOf } from './state.ts'
import { checkProcessor } from '#sandbox/processor.ts'

/** What a RUN has left: usable at once, packed later. */
export interface Executed {
  /** The upper directory, as a lower of what comes next. */
  readonly fs: Place
  readonly snapshot: string
  readonly layer: Promise<MadeLayer>
}

/** The directories of an overlay whose upper one becomes a snapshot. */
function makeOverlay(store: Store, id: string): { readonly tree: Place; readonly work: Place } {
  const [tree, work] = [placeOf(store, layout.snapshotTree(id)), placeOf(store, layout.snapshotWork(id))]
  for (const { path } of [tree, work]) mkdirSync(pathOf(store, path))
  return { tree, work }
}

/**
 * Executes RUN. Resolves as soon as the command has ended; its layer is made meanwhile by the same native process.
 *
 * @throws StaveError `build-failed`, with the last lines of output as cause
 */
export async function exec(cx: Context, session: Session, command: Command, parent: State): Promise<Executed> {
  const { store } = session
  const { step, op } = command
  checkPlatform(session, step, op)
  await checkBase(cx, step, parent)
  const lowers = await parent.trees()
  await using held = new AsyncDisposableStack()
  const spec = await sandboxOf(cx, session, command, held)
  const snapshot = await store.snapshots.create()
  const { tree: fs, work } = makeOverlay(store, snapshot.id)
  const log = session.logs.open(cx, step, session.secrets.of(op))
  const blob = await store.blobs.temporary()

  const { promise: exited, resolve: onExit } = Promise.withResolvers<number>()
  const stdio: Stdio = { stdin: 'ignore', stdout: (chunk) => log.write('stdout', chunk), stderr: (chunk) => log.write('stderr', chunk) }
  const job: Job<RunRequest> = {
    id: jobId('build', session, step),
    root: { lowers, upper: fs, work, volatile: true },
    spec,
    layer: { ...session.output, blob },
    ...runtimeOf(session, snapshot.place),
  }
  const run = store.runner.run(cx, job, stdio, { onExit })
  const layer = run.then(
    (result) => {
      if (result.layer === undefined)
        throw new StaveError('runner', `cannot use the result of ${commandText(op)}: the runner made no layer`)
      return keepLayer(store, blob, result.layer, session.output)
    },
    (error: unknown) => {
      throw located(error, step, op)
    },
  )
  // Who waits for the layer gets its error; if the command has failed, nobody does.
  layer.catch(() => {})
  let ended: Ended
  try {
    ended = await endOf(run, exited)
  } catch (error) {
    await store.blobs.discard(blob)
    await store.snapshots.discard(snapshot.id)
    log.close()
    throw located(error, step, op)
  }
  const { exitCode, oomKilled } = ended
  if (exitCode === 0) return { fs, snapshot: snapshot.id, layer: layer.finally(() => log.close()) }
  log.close()
  try {
    await session.options.onStop?.({
      reason: 'failed',
      title: step.title,
      span: step.span,
      exitCode,
      shell: (inner, stdio, words) => shell(inner, session, command, { lowers: [fs, ...lowers], stdio, ...words }),
    })
  } finally {
    await store.blobs.discard(blob)
    await store.snapshots.discard(snapshot.id)
  }
  throw failed(session.id, step, op, exitCode, oomKilled, log.tail())
}

interface Ended {
  readonly exitCode: number
  readonly oomKilled: boolean
}

/** How a command has ended, which is known before its layer is made. */
async function endOf(run: Promise<RunResult>, exited: Promise<number>): Promise<Ended> {
  const ofResult = (result: RunResult): Ended => ({ exitCode: result.exitCode ?? 0, oomKilled: result.oomKilled === true })
  const ended = await Promise.race([exited.then((exitCode) => ({ exitCode, oomKilled: false })), run.then(ofResult)])
  if (ended.exitCode === 0) return ended
  // What the process wrote last may still be in a pipe.
  return {
    ...ended,
    oomKilled: await run.then(
      (result) => ofResult(result).oomKilled,
      () => false,
    ),
  }
}

/** Another OCI runtime has its files beside the tree of the step. */
function runtimeOf({ options: { runtime } }: Session, directory: Place): Pick<RunRequest, 'runtime'> {
  return runtime === undefined ? {} : { runtime: { program: runtime, directory } }
}

/** It names a control group, too: the id of a step of one of several platforms has a slash. */
function jobId(what: 'build' | 'debug', session: Session, step: Step): string {
  return `${what}-${session.id}-${step.id.replaceAll('/', '-')}`
}

/** A command in place of that of a step. */
export interface Shell {
  /** The state that it sees. */
  readonly lowers: readonly Place[]
  readonly stdio: Stdio
  /** Default: the shell of the stage. */
  readonly args?: readonly string[]
  readonly terminal: boolean
}

/** Runs a command in the state that a step would see, and throws its changes away. */
export async function shell(cx: Context, session: Session, command: Command, job: Shell): Promise<{ exitCode: number }> {
  const { store } = session
  const { step, op } = command
  const { lowers, stdio, args = [op.shell[0] ?? '/bin/sh'], terminal } = job
  await using held = new AsyncDisposableStack()
  const spec = await sandboxOf(cx, session, command, held)
  const snapshot = await store.snapshots.create()
  held.defer(() => store.snapshots.discard(snapshot.id))
  const { tree, work } = makeOverlay(store, snapshot.id)
  const result = await store.runner.run(
    cx,
    {
      id: jobId('debug', session, step),
      root: {
        lowers,
        upper: tree,
        work,
        volatile: true,
      },
      spec: { ...spec, args, terminal, interactive: true, env: [...spec.env, 'TERM=xterm'] },
      ...runtimeOf(session, snapshot.place),
    },
    stdio,
  )
  return { exitCode: result.exitCode ?? 0 }
}

/** Which programs of other architectures the processor runs by itself. */
const compatible: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] }
const qemuNames: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  '386': 'i386',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  arm: 'arm',
  mips64le: 'mips64el',
  loong64: 'loongarch64',
}

function checkPlatform(session: Session, step: Step, op: ExecOp): void {
  const { os, architecture } = op.platform
  if (os !== 'linux') {
    throw new StaveError('isolation', `cannot RUN for ${formatPlatform(op.platform)} in stage ${step.stage}: this machine runs Linux`, {
      hint: 'COPY, ADD and all that sets the config work for it. Make files in a stage of FROM --platform=$BUILDPLATFORM.',
      ...(step.span !== undefined && { span: step.span }),
    })
  }
  if (architecture === session.architecture || compatible[session.architecture]?.includes(architecture) === true) return
  const name = qemuNames[architecture] ?? architecture
  let registered: readonly string[] = []
  try {
    registered = readdirSync('/proc/sys/fs/binfmt_misc')
  } catch {
    // Not mounted: nothing is registered.
  }
  if (!registered.some((entry) => entry.endsWith(`-${name}`))) {
    throw new StaveError(
      'isolation',
      `cannot RUN for ${formatPlatform(op.platform)} in stage ${step.stage}: this machine is ${session.architecture}, and has no emulator for it`,
      {
        hint: `Install qemu-user-static (binfmt), or use FROM --platform=$BUILDPLATFORM and cross-compile.`,
        ...(step.span !== undefined && { span: step.span }),
      },
    )
  }
}

/** A base image for a later level of amd64 is taken where there is no other; here is where its processor is needed. */
async function checkBase(cx: Context, step: Step, parent: State): Promise<void> {
  const base = rootOf(parent)
  const config = await base?.image.config(cx)
  if (base === undefined || config === undefined) return
  try {
    checkProcessor(base.reference, config, () => readFileSync('/proc/cpuinfo', 'utf8'))
  } catch (error) {
    throw placed(error, step.span)
  }
}

function failed(buildId: string, step: Step, op: ExecOp, exitCode: number, oomKilled: boolean, tail: string): StaveError {
  const why = oomKilled ? `it was killed, since memory was short (exit code ${exitCode})` : `exit code ${exitCode}`
  return new StaveError('build-failed', `cannot run ${commandText(op)}: ${why}`, {
    ...(tail === '' ? {} : { cause: new Error(`the last lines of its output were\n${tail}`) }),
    ...(step.span !== undefined && { span: step.span }),
    hint: oomKilled ? 'Give it more with --memory.' : `stave logs ${buildId} shows all of its output.`,
  })
}

function commandText(op: ExecOp): string {
  const isShell = op.args.length > op.shell.length && op.shell.every((word, at) => op.args[at] === word)
  if (!isShell) return shortened(JSON.stringify(op.args))
  const text = op.args.slice(op.shell.length).join(' ')
  const line = text.split('\n')[0] as string
  return JSON.stringify(line === text ? shortened(line) : `${line.slice(0, longestShown)}…`)
}

const longestShown = 200

function shortened(text: string): string {
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text
}

/** A command that could not be started is a failure of its line in the Dockerfile. */
function located(error: unknown, step: Step, op: ExecOp): unknown {
  if (!(error instanceof StaveError) || error.span !== undefined || error.code === 'cancelled') return error
  const message = `cannot run ${commandText(op)}: ${error.message}`
  return error.with({ message, exitCode: 1, ...(step.span !== undefined && { span: step.span }) })
}
