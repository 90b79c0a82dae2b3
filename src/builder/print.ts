import type { Context } from '#context.ts'
import type { BaseImage } from './input/images.ts'
import type { Plan } from './plan/plan.ts'
import type { Session } from './session.ts'
import type { Step } from './plan/step.ts'
import { operationKey, stepKey } from './plan/key.ts'
import { imageKey } from './plan/planner.ts'
import { makesLayer } from './plan/step.ts'
import type { Directory, Solved, State } from './solved.ts'
import { baseState, cachedState, emptyTree } from './solve/state.ts'
import { withTimesOf } from './solved.ts'
import { recordedLayer } from './solve/layer.ts'
import type { Digest } from '#oci/digest.ts'

/** The plans as data for `--print=plan`; with each step's key, as far as the cache knows what is before it, for `--print=keys`. */
export async function printPlan(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  bases: ReadonlyMap<string, BaseImage>,
  what: 'instructions' | 'plan' | 'keys',
): Promise<unknown> {
  const documents = plans.map((plan) => ({
    target: plan.stage.name,
    platform: plan.stage.platform,
    config: plan.stage.config,
    history: plan.stage.history.map(({ createdBy, step }) => ({
      createdBy,
      ...(step === undefined ? { empty: true } : { step: step.id }),
    })),
    steps: plan.steps.map((step) => ({
      id: step.id,
      title: step.title,
      stage: step.stage,
      ...(step.span !== undefined && { line: step.span.line }),
      ...(step.parent !== undefined && { parent: step.parent.id }),
      inputs: step.inputs.map(({ id }) => id),
      op: step.op,
      ...(makesLayer(step) ? { opKey: operationKey(step.op) } : {}),
    })),
  }))
  if (what !== 'keys') return documents
  const keys = await keysOf(
    cx,
    session,
    plans.flatMap(({ steps }) => steps),
    bases,
  )
  for (const { steps } of documents) for (const step of steps) Object.assign(step, keys.get(step.id))
  return documents
}

interface Printed {
  readonly key?: Digest
  readonly cached?: boolean
  readonly preImage?: unknown
  /** Why there is no key. */
  readonly unknown?: string
}

async function keysOf(
  cx: Context,
  session: Session,
  steps: readonly Step[],
  bases: ReadonlyMap<string, BaseImage>,
): Promise<Map<string, Printed>> {
  const printed = new Map<string, Printed>()
  const solved = new Map<Step, Solved>()
  const directories = new Map<Step, Directory>()
  for (const step of steps) {
    if (step.op.kind === 'local') {
      const directory = await session.contexts.open(cx, step.op.context)
      directories.set(step, directory)
      solved.set(step, directory)
    }
  }
  if (directories.size > 0) session.digests.prepare(cx, steps, directories)
  for (const step of steps) {
    const { op } = step
    if (op.kind === 'image') {
      solved.set(
        step,
        op.reference === 'scratch' ? emptyTree : await baseState(cx, session, bases.get(imageKey(op.reference, op.platform)) as BaseImage),
      )
    }
    if (!makesLayer(step)) continue
    const parent = step.parent === undefined ? emptyTree : (solved.get(step.parent) as State | undefined)
    const inputs = step.inputs.map((input) => solved.get(input))
    if (parent === undefined || inputs.includes(undefined)) {
      printed.set(step.id, { unknown: 'it depends on what a step before it leaves, which has not been executed' })
      continue
    }
    const state = await parent.id
    const digests = await session.digests.of(cx, step, inputs as readonly Solved[])
    const key = stepKey(step.op, state, digests, withTimesOf(session.format, inputs as readonly Solved[]))
    const record = session.store.cache.get(key.key)
    const layer = record?.layer === undefined ? undefined : await recordedLayer(session.store, record.layer)
    const cached = record !== undefined && (record.layer === undefined || layer !== undefined)
    printed.set(step.id, { key: key.key, cached, preImage: JSON.parse(key.preImage) })
    if (cached) solved.set(step, cachedState(cx, session, parent, layer))
  }
  return printed
}
