import type { Store } from '#store/store.ts'
import type { CopyOp, ExecOp, Step } from '../plan/step.ts'
import type { Solver } from './solver.ts'
import type { BuiltLayer, Solved, State } from '../solved.ts'
import { operationKey, stepKey, type StepKey } from '../plan/key.ts'
import { recordedLayer } from './layer.ts'
import { withSource } from './missing-source.ts'
import { report } from './solver.ts'
import { cachedState, promisedState } from './state.ts'
import { withTimesOf } from '../solved.ts'

/** Key of a step by what is really there; what it is called in remote caches is noted. */
export async function keyOf(solver: Solver, step: Step, op: CopyOp | ExecOp, parent: State, inputs: readonly Solved[]): Promise<StepKey> {
  const { cx, session } = solver
  // Together: the digests need not wait for the state.
  const digests = session.digests.of(cx, step, inputs).catch((error: unknown) => {
    throw withSource(error, step, inputs)
  })
  const [state, contents] = await Promise.all([parent.id, digests])
  const format = withTimesOf(session.format, inputs)
  const key = stepKey(op, state, contents, format)
  const claimed = session.remote === undefined ? state : await parent.claimed
  const shown = session.remote === undefined ? key : stepKey(op, claimed, await session.digests.renamed(step, inputs, contents), format)
  session.keys.set(step.id, shown)
  return key
}

/** Was this operation ever done here? */
export function mayBeKnown(store: Store, op: CopyOp | ExecOp): boolean {
  return store.cache.byOperation(operationKey(op)).length > 0
}

/** What remote caches have for a step; but where nothing that it is made of comes from them, first what this store has. */
export async function lookUpRemote(
  solver: Solver,
  step: Step,
  op: CopyOp | ExecOp,
  parent: State,
  inputs: readonly Solved[],
  make: () => Promise<State>,
): Promise<State | undefined> {
  const { cx, session } = solver
  if (mayBeKnown(session.store, op) && (await isOwn([parent, ...inputs]))) {
    const found = await lookUp(solver, step, parent, await keyOf(solver, step, op, parent, inputs))
    if (found !== undefined) return found
  }
  const digests = await session.digests.claimed(cx, step, inputs).catch((error: unknown) => {
    throw withSource(error, step, inputs)
  })
  if (digests === undefined) return undefined
  const key = stepKey(op, await parent.claimed, digests, withTimesOf(session.format, inputs))
  const found = session.remote?.find(key)
  if (found === undefined || ('promise' in found && solver.inResult.has(solver.names.get(step) as string))) return undefined
  session.keys.set(step.id, key)
  report(solver, step, 'cached', 0)
  if (!('promise' in found)) return cachedState(cx, session, parent, found.layer)
  return promisedState(parent, found.promise, async () => {
    // It is told a second time, as what it has become.
    const told = session.records.findIndex(({ id }) => id === step.id)
    if (told !== -1) session.records.splice(told, 1)
    const state = await make()
    // Nobody waits for what goes on in the background once the steps have ended.
    await state.layer
    return state
  })
}

async function isOwn(solved: readonly Solved[]): Promise<boolean> {
  for (const one of solved) if (one.kind === 'state' && (one.isPromised || (await one.id) !== (await one.claimed))) return false
  return true
}

/** What this store has for a step. */
export async function lookUp(solver: Solver, step: Step, parent: State, key: StepKey): Promise<State | undefined> {
  const { cx, session } = solver
  const { store } = session
  const record = store.cache.get(key.key)
  if (record === undefined || record.createdAt.getTime() < (session.options.cacheSince ?? 0)) return undefined
  let layer: BuiltLayer | undefined
  if (record.layer !== undefined) {
    layer = await recordedLayer(store, record.layer)
    if (layer === undefined) {
      // Pruned, or lost: as if it had never been.
      return undefined
    }
  }
  report(solver, step, 'cached', 0)
  return cachedState(cx, session, parent, layer)
}

/** Notes why a step was not found. */
export async function explain(solver: Solver, step: Step, keyed: Promise<StepKey>): Promise<void> {
  const { session } = solver
  const key = await keyed.catch(() => undefined)
  if (key === undefined) return
  const { explainMiss } = await import('../record/explain.ts')
  const { cacheSince = 0 } = session.options
  const isTooOld = (session.store.cache.get(key.key)?.createdAt.getTime() ?? Infinity) < cacheSince
  session.because.set(
    step.id,
    !step.useCache
      ? ['it was not looked for: --no-cache']
      : isTooOld
        ? ['its result is older than --cache-ttl']
        : explainMiss(session.store, key, session.last[step.id]),
  )
}
