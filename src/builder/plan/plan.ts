import type { Dockerfile, Instruction } from '#dockerfile/instruction.ts'
import type { Globals, ResolvedStage } from '#dockerfile/stage.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { Step } from './step.ts'
import { mountFrom } from '#dockerfile/mount.ts'
import { parseInstruction } from '#dockerfile/parse.ts'
import { findTarget, resolveGlobals, resolveStages } from '#dockerfile/stage.ts'
import { StaveError, type Span } from '#error.ts'
import {
  baseOf,
  imageKey,
  need,
  originOf,
  platformOf,
  replacement,
  stageName,
  type BaseConfigs,
  type ImageNeed,
  type Origin,
  type PlannedStage,
  type Planner,
  type PlanOptions,
  type PlanWarning,
} from './planner.ts'
import { planStage } from './stage.ts'

export interface Plan {
  /** The target stage: its top step is the result. */
  readonly stage: PlannedStage
  /** All steps that the result needs, each after its inputs. */
  readonly steps: readonly Step[]
  readonly globals: Globals
  /** The platform that was asked for, or this machine's: the stage itself may be pinned to another. */
  readonly target: Platform
  readonly warnings: readonly PlanWarning[]
}

export type Planned = { readonly plan: Plan } | { readonly needs: readonly ImageNeed[] }

/**
 * Plans a build: pure. The configs of base images decide how the rest is expanded, and their ONBUILD triggers can ask for
 * more images. So a plan that still lacks some says which; resolve them and plan again, until there is one.
 *
 * @throws StaveError `dockerfile`
 */
export function plan(dockerfile: Dockerfile, options: PlanOptions, bases: BaseConfigs): Planned {
  const globals = resolveGlobals(dockerfile, options)
  const stages = resolveStages(dockerfile, globals)
  const target = findTarget(stages, options.target)
  const planner: Planner = {
    dockerfile,
    options,
    bases,
    globals,
    stages,
    target: target.index,
    planned: new Map(),
    needs: new Map(),
    triggers: new Map(),
    foreign: new Set(),
    steps: new Map(),
    warnings: [],
    count: 0,
  }
  const order = reach(planner, target.index)
  if (planner.needs.size === 0) for (const index of order) planner.planned.set(index, planStage(planner, stages[index] as ResolvedStage))
  if (planner.needs.size > 0) return { needs: [...planner.needs.values()] }
  const stage = planner.planned.get(target.index) as PlannedStage
  return { plan: { stage, steps: collect(stage.top), globals, target: planner.options.targetPlatform, warnings: planner.warnings } }
}

/** The stages that `target` needs, each after those that it needs. Asks for base images on the way. */
function reach(planner: Planner, target: number): readonly number[] {
  const order: number[] = []
  const state = new Map<number, 'open' | 'done'>()
  const stack: { index: number; next: number; needs: readonly number[] }[] = []
  const enter = (index: number): void => {
    state.set(index, 'open')
    stack.push({ index, next: 0, needs: dependencies(planner, planner.stages[index] as ResolvedStage) })
  }
  enter(target)
  while (stack.length > 0) {
    const frame = stack[stack.length - 1] as (typeof stack)[number]
    const index = frame.needs[frame.next]
    if (index === undefined) {
      state.set(frame.index, 'done')
      order.push(frame.index)
      stack.pop()
      continue
    }
    frame.next++
    const seen = state.get(index)
    if (seen === 'open') {
      const stage = planner.stages[index] as ResolvedStage
      throw new StaveError('dockerfile', `cannot plan stage ${stageName(stage)}: it depends on itself`, { span: stage.stage.from.span })
    }
    if (seen === undefined) enter(index)
  }
  return order
}

function dependencies(planner: Planner, stage: ResolvedStage): readonly number[] {
  const result: number[] = []
  const follow = (origin: Origin, platform: Platform, span: Span): void => {
    if (origin.kind === 'stage') result.push(origin.index)
    else if (origin.kind === 'image') need(planner, origin.reference, platform, span)
  }
  const platform = platformOf(planner, stage)
  const base = baseOf(planner, stage)
  const replaced = replacement(planner, stage)
  follow(base, platform, stage.stage.from.span)
  if (replaced !== undefined) return result
  const triggers = base.kind === 'image' ? onbuild(planner, stage, base.reference, platform) : []
  for (const trigger of triggers) planner.foreign.add(trigger)
  const inherited = base.kind === 'stage' ? stageTriggers(planner, base.index) : []
  planner.triggers.set(stage.index, [...triggers, ...inherited])
  for (const instruction of [...triggers, ...inherited, ...stage.stage.instructions])
    for (const from of fromsOf(instruction)) follow(originOf(planner, stage, from, instruction), platform, instruction.span)
  return result
}

/** ONBUILD triggers that a stage of this file leaves to those that are based on it. */
function stageTriggers(planner: Planner, index: number): readonly Instruction[] {
  const stage = planner.stages[index]
  if (stage === undefined || replacement(planner, stage) !== undefined) return []
  return stage.stage.instructions.flatMap((instruction) => (instruction.kind === 'ONBUILD' ? [instruction.trigger] : []))
}

function onbuild(planner: Planner, stage: ResolvedStage, reference: string, platform: Platform): readonly Instruction[] {
  const config = planner.bases.get(imageKey(reference, platform))
  const span = stage.stage.from.span
  return (config?.config?.OnBuild ?? []).map((text) =>
    parseInstruction(text, { file: planner.dockerfile.file, escape: planner.dockerfile.directives.escape, span }),
  )
}

function fromsOf(instruction: Instruction): readonly string[] {
  if (instruction.kind === 'COPY') return instruction.from === undefined ? [] : [instruction.from]
  if (instruction.kind === 'RUN') return instruction.mounts.flatMap((text) => mountFrom(text) ?? [])
  return []
}

/** All that a step needs, each after what it needs, itself last. */
function collect(top: Step | undefined): readonly Step[] {
  const order: Step[] = []
  const seen = new Set<Step>()
  const stack: { step: Step; entered: boolean }[] = top === undefined ? [] : [{ step: top, entered: false }]
  while (stack.length > 0) {
    const frame = stack.pop() as (typeof stack)[number]
    if (frame.entered) {
      order.push(frame.step)
      continue
    }
    if (seen.has(frame.step)) continue
    seen.add(frame.step)
    stack.push({ step: frame.step, entered: true })
    // Pushed in reverse, so that what is written first comes first.
    for (const input of [...(frame.step.parent === undefined ? [] : [frame.step.parent]), ...frame.step.inputs].reverse())
      stack.push({ step: input, entered: false })
  }
  return order
}
