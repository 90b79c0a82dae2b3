import type { Dockerfile, Stage } from '#dockerfile/instruction.ts'
import type { Plan } from './plan/plan.ts'
import type { Session } from './session.ts'
import type { Solution } from './solve/solve.ts'
import type { ExecOp, Step } from './plan/step.ts'
import { posix } from 'node:path'
import { StaveError } from '#error.ts'
import { shellOf } from './plan/draft.ts'

/** The Dockerfile up to a stage's end, or to a line of it; and the stage that is then the target. */
export function cutAt(dockerfile: Dockerfile, until: string): { dockerfile: Dockerfile; target: string } {
  const cut = (last: Stage): { dockerfile: Dockerfile; target: string } => {
    const name = last.name ?? `stage-${last.index}`
    const stages = dockerfile.stages.slice(0, last.index)
    return { dockerfile: { ...dockerfile, stages: [...stages, { ...last, name }] }, target: name }
  }
  const named = dockerfile.stages.findLast(({ name }) => name === until.toLowerCase())
  if (named !== undefined) return cut(named)
  const line = /^\d+$/.test(until) ? Number(until) : undefined
  const isThere = line !== undefined && line <= dockerfile.text.split('\n').length
  const stage = isThere ? dockerfile.stages.findLast(({ from }) => from.span.line <= line) : undefined
  if (line === undefined || stage === undefined) {
    const names = dockerfile.stages.flatMap(({ name }) => (name === undefined ? [] : [name]))
    throw new StaveError('usage', `cannot stop at ${JSON.stringify(until)}: it is neither a stage nor a line of a stage`, {
      ...(names.length === 0 ? {} : { hint: `The stages are ${names.join(', ')}.` }),
    })
  }
  return cut({ ...stage, instructions: stage.instructions.filter(({ span }) => span.line <= line) })
}

/** Opens a shell in the state that a plan ends with. */
export async function stopAt(session: Session, plan: Plan, solution: Solution): Promise<void> {
  const { stage } = plan
  const last = plan.steps.findLast((step): step is Step & { op: ExecOp } => step.op.kind === 'exec' && step === stage.top)
  const op: ExecOp = {
    kind: 'exec',
    args: [],
    env: stage.scope.runEnv(),
    cwd: posix.resolve('/', stage.config.WorkingDir || '/'),
    ...(stage.config.User !== undefined && { user: stage.config.User }),
    network: session.options.network ?? 'host',
    // Mounts of the last RUN read inputs that belong to that step.
    mounts: [],
    platform: stage.platform,
    proxyEnv: stage.scope.proxyEnv(),
    shell: shellOf({ config: stage.config, os: stage.base?.config.os ?? stage.platform.os }),
  }
  const step: Step = last ?? {
    id: 'until',
    op,
    inputs: [],
    span: undefined,
    title: `the end of ${stage.name}`,
    stage: stage.name,
    useCache: true,
  }
  const state = await solution.state(stage.top)
  const { shell } = await import('./solve/exec.ts')
  await session.options.onStop?.({
    reason: 'until',
    title: step.title,
    span: step.span,
    shell: async (inner, stdio, words) => shell(inner, session, { step, op, inputs: [] }, { lowers: await state.trees(), stdio, ...words }),
  })
}
