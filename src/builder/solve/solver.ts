import type { Context } from '#context.ts'
import type { StepRecord } from '../options.ts'
import type { BaseImage } from '../input/images.ts'
import type { Session } from '../session.ts'
import type { Solved } from '../solved.ts'
import type { Step } from '../plan/step.ts'

/** What all steps share while they are carried out. */
export interface Solver {
  readonly cx: Context
  readonly session: Session
  readonly bases: ReadonlyMap<string, BaseImage>
  /** Steps that do the same to the same have the same name, whatever plan they are in. */
  readonly names: Map<Step, string>
  readonly needsTree: Set<string>
  /** Steps whose layers are a part of the result: a promise of them is not enough. */
  readonly inResult: Set<string>
  readonly running: Map<string, Promise<Solved>>
  /** Layers that are still being made, though their trees are in use. */
  readonly background: Promise<unknown>[]
  readonly fail: (error: unknown) => void
}

/** What may take longer than the steps: a failure of it is one of the build. */
export function inBackground(solver: Solver, work: Promise<unknown>): void {
  work.catch(solver.fail)
  solver.background.push(work)
}

/** Tells what has become of a step. */
export function report(solver: Solver, step: Step, state: StepRecord['state'], durationMs: number): void {
  solver.cx.report({ type: 'step', id: step.id, title: step.title, state, ...(state === 'cached' ? {} : { durationMs }) })
  solver.session.records.push({
    id: step.id,
    title: step.title,
    stage: step.stage,
    line: step.span?.line,
    state,
    key: undefined,
    startedAt: new Date(Date.now() - durationMs).toISOString(),
    durationMs,
    parents: [...(step.parent === undefined ? [] : [step.parent]), ...step.inputs].map(({ id }) => id),
  })
}
