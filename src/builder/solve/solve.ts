import { layout } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { MadeTree, Place } from '#runner/protocol.ts'
import type { BaseImage } from '../input/images.ts'
import type { MadeLayer } from './layer.ts'
import type { Session } from '../session.ts'
import type { Directory, Solved, State } from '../solved.ts'
import type { CopyOp, ExecOp, Step } from '../plan/step.ts'
import { withSignal } from '#context.ts'
import { hasCode } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import type { Solver } from './solver.ts'
import { operationKey, type StepKey } from '../plan/key.ts'
import { asRecord } from './layer.ts'
import { lock } from '#store/lock.ts'
import { explain, keyOf, lookUp, lookUpRemote, mayBeKnown } from './lookup.ts'
import { inBackground, report } from './solver.ts'
import { imageKey } from '../plan/planner.ts'
import { baseState, emptyTree, layersOf, madeState } from './state.ts'
import { makesLayer } from '../plan/step.ts'

/** What has become of the steps. */
export interface Solution {
  /** The state that a step ended with. */
  state(step: Step | undefined): Promise<State>
}

export interface SolveOptions {
  /** Steps in an order in which each comes after what it needs; of one or several plans. */
  readonly steps: readonly Step[]
  /** By {@link imageKey}. */
  readonly bases: ReadonlyMap<string, BaseImage>
  /** Steps whose trees are wanted although no other step looks at them. */
  readonly wantTrees: ReadonlySet<Step>
  /** Steps whose layers are a part of the result. */
  readonly inResult: readonly Step[]
}

/**
 * Carries out the steps, as many at a time as there are slots. Equal steps are done once, here and in other processes.
 * After a failure nothing new starts, and what runs is stopped and awaited.
 *
 * A step is looked up by its key, which needs the content of the state before it. That is known only when what the
 * step before has left was read. So a step of which no earlier try is known does not wait for its key, and a cold build
 * loses nothing; one that could be found again does, and so the effort ends where a step leaves what it left before.
 */
export async function solve(outer: Context, session: Session, options: SolveOptions): Promise<Solution> {
  const abort = new AbortController()
  const failures: unknown[] = []
  const cx = withSignal(outer, abort.signal)
  const solver: Solver = {
    cx,
    session,
    bases: options.bases,
    names: new Map(),
    needsTree: new Set(),
    inResult: new Set(),
    running: new Map(),
    background: [],
    fail(error) {
      failures.push(error)
      abort.abort(error)
    },
  }
  for (const step of options.steps) solver.names.set(step, nameOf(solver, step))
  for (const step of options.inResult) solver.inResult.add(solver.names.get(step) as string)
  markTrees(solver, options)
  await prepareDigests(solver, options.steps)

  for (const step of options.steps) {
    const name = solver.names.get(step) as string
    if (!solver.running.has(name)) {
      const solved = solveStep(solver, step)
      solved.catch(solver.fail)
      solver.running.set(name, solved)
    }
  }
  await Promise.allSettled(solver.running.values())
  await Promise.allSettled(solver.background)
  if (failures.length > 0) throw failures[0]
  return {
    state: async (step) => (step === undefined ? emptyTree : ((await solver.running.get(solver.names.get(step) as string)) as State)),
  }
}

function nameOf(solver: Solver, step: Step): string {
  const { op } = step
  const own = makesLayer(step)
    ? operationKey(step.op)
    : JSON.stringify(op.kind === 'local' ? { ...op, project: solver.session.contexts.project } : op)
  const before = [step.parent, ...step.inputs].map((input) => (input === undefined ? '' : (solver.names.get(input) as string)))
  return digestHex(digestOf([own, step.useCache ? '' : 'fresh', ...before].join('\n')))
}

/** The trees of which steps are looked at by others: only these are made beside their layers. */
function markTrees(solver: Solver, { steps, wantTrees }: SolveOptions): void {
  const mark = (step: Step | undefined): void => {
    if (step !== undefined) solver.needsTree.add(solver.names.get(step) as string)
  }
  for (const step of wantTrees) mark(step)
  for (const step of [...steps].reverse()) {
    const { op } = step
    if (op.kind === 'exec' || (op.kind === 'copy' && op.link !== true) || solver.needsTree.has(solver.names.get(step) as string))
      mark(step.parent)
    step.inputs.forEach(mark)
  }
}

/** One job for all that is chosen from local directories: it starts before anything else. */
async function prepareDigests(solver: Solver, steps: readonly Step[]): Promise<void> {
  const { cx, session } = solver
  const directories = new Map<Step, Directory>()
  for (const step of steps) if (step.op.kind === 'local') directories.set(step, await session.contexts.open(cx, step.op.context))
  if (directories.size > 0) session.digests.prepare(cx, steps, directories)
}

async function solveStep(solver: Solver, step: Step): Promise<Solved> {
  const { cx, session } = solver
  const { op } = step
  switch (op.kind) {
    case 'copy':
    case 'exec':
      return solveLayer(solver, step, op)
    case 'local':
      return session.contexts.open(cx, op.context)
    case 'image': {
      if (op.reference === 'scratch') return emptyTree
      const base = solver.bases.get(imageKey(op.reference, op.platform)) as BaseImage
      const isHere = base.image.manifest.layers.every((layer) => session.store.file?.(layer) !== undefined)
      report(solver, step, isHere ? 'cached' : 'done', 0)
      return baseState(cx, session, base)
    }
    case 'fetch': {
      const { fetchUrl } = await import('../input/fetch.ts')
      return timed(solver, step, () => fetchUrl(cx, session, step, op))
    }
    case 'git': {
      const { gitDirectory } = await import('../input/git.ts')
      return timed(solver, step, () => gitDirectory(cx, session, step, op))
    }
  }
}

async function timed(solver: Solver, step: Step, work: () => Promise<Solved>): Promise<Solved> {
  const started = performance.now()
  solver.cx.report({ type: 'step', id: step.id, title: step.title, state: 'started' })
  try {
    const solved = await work()
    report(solver, step, 'done', performance.now() - started)
    return solved
  } catch (error) {
    report(solver, step, solver.cx.signal.aborted ? 'cancelled' : 'failed', performance.now() - started)
    throw error
  }
}

async function solveLayer(solver: Solver, step: Step, op: CopyOp | ExecOp): Promise<State> {
  const { cx, session } = solver
  const parent = step.parent === undefined ? emptyTree : ((await solver.running.get(solver.names.get(step.parent) as string)) as State)
  const inputs: Solved[] = []
  for (const input of step.inputs) inputs.push((await solver.running.get(solver.names.get(input) as string)) as Solved)
  cx.signal.throwIfAborted()
  const make = (): Promise<State> => findOrMake(solver, step, op, parent, inputs)
  if (session.remote !== undefined && step.useCache) {
    const found = await lookUpRemote(solver, step, op, parent, inputs, make)
    if (found !== undefined) return found
  }
  return make()
}

async function findOrMake(solver: Solver, step: Step, op: CopyOp | ExecOp, parent: State, inputs: readonly Solved[]): Promise<State> {
  const { cx, session } = solver
  const { store } = session
  const keyed = keyOf(solver, step, op, parent, inputs)
  // Whether anyone waits for it depends.
  keyed.catch(() => {})
  const find = async (): Promise<State | undefined> => lookUp(solver, step, parent, await keyed)
  if (step.useCache && mayBeKnown(store, op)) {
    const found = await find()
    if (found !== undefined) return found
  }
  if (session.options.explain === true) inBackground(solver, explain(solver, step, keyed))
  // Whoever waits for a promise to be kept must hold nothing that its steps wait for: neither a lock nor a slot.
  await keepPromises([parent, ...inputs])
  const claim = await lock(cx, store, layout.running(solver.names.get(step) as string))
  let making: Making
  try {
    if (claim.waited && step.useCache) {
      const found = await find()
      if (found !== undefined) {
        claim[Symbol.dispose]()
        return found
      }
    }
    making = await execute(solver, step, op, parent, inputs)
  } catch (error) {
    claim[Symbol.dispose]()
    // That a source is missing is said best by what has looked for it.
    throw await keyed.then(
      () => error,
      (missing: unknown) => (hasCode(missing, 'not-found') ? missing : error),
    )
  }
  const kept = keep(solver, parent, making, keyed).finally(() => claim[Symbol.dispose]())
  inBackground(solver, kept)
  return madeState(cx, session, parent, making.fs, kept)
}

async function keepPromises(solved: readonly Solved[]): Promise<void> {
  await Promise.all(solved.flatMap((one) => (one.kind === 'state' && one.isPromised ? [one.id] : [])))
}

/** What a step has made, so far. */
interface Making {
  readonly fs: Place | undefined
  readonly snapshot: string | undefined
  readonly made?: MadeTree
  readonly layer: Promise<MadeLayer | undefined>
}

async function execute(solver: Solver, step: Step, op: CopyOp | ExecOp, parent: State, inputs: readonly Solved[]): Promise<Making> {
  const { cx, session } = solver
  using _slot = await session.slots.take(cx.signal)
  const started = performance.now()
  cx.report({ type: 'step', id: step.id, title: step.title, state: 'started' })
  try {
    if (op.kind === 'exec') {
      const { exec } = await import('./exec.ts')
      const { fs, snapshot, layer } = await exec(cx, session, { step, op, inputs }, parent)
      report(solver, step, 'done', performance.now() - started)
      // With a time of its own, the layer has other times than the files that the command left: its tree is made of the layer.
      return { fs, snapshot: session.output.epoch === undefined ? snapshot : undefined, layer }
    }
    const { copyFiles } = await import('./copy.ts')
    const copied = await copyFiles(cx, session, step, op, parent, inputs, solver.needsTree.has(solver.names.get(step) as string))
    report(solver, step, 'done', performance.now() - started)
    return { ...copied, layer: Promise.resolve(copied.layer) }
  } catch (error) {
    report(solver, step, cx.signal.aborted ? 'cancelled' : 'failed', performance.now() - started)
    throw error
  }
}

/** When the layer is there: the tree becomes a snapshot, and the cache learns of it. */
async function keep(solver: Solver, parent: State, making: Making, keyed: Promise<StepKey>): Promise<MadeLayer | undefined> {
  const { cx, session } = solver
  const { store } = session
  const layer = await making.layer
  if (layer !== undefined && making.snapshot !== undefined) {
    const below = await layersOf(cx, parent)
    await store.snapshots.commit(making.snapshot, [...below.map(({ diffId }) => diffId), layer.diffId], making.made)
  }
  const { key, opKey, preImage } = await keyed
  store.cache.put({ key, opKey, layer: layer === undefined ? undefined : asRecord(layer), explanation: preImage })
  return layer
}
