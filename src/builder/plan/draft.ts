import type { ExecutionConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { Instruction } from '#dockerfile/instruction.ts'
import type { Scope } from '#dockerfile/scope.ts'
import type { ResolvedStage } from '#dockerfile/stage.ts'
import type { Span } from '#error.ts'
import { redactUrl } from '#text/url.ts'
import type { Op, Step } from './step.ts'
import { need, platformOf, stageName, type Origin, type PlannedHistory, type PlannedStage, type Planner } from './planner.ts'

/** A stage while its instructions are evaluated, one after the other. */
export interface Draft {
  readonly planner: Planner
  readonly stage: ResolvedStage
  readonly scope: Scope
  readonly platform: Platform
  /** The operating system that its image is for: that of the base image, whatever was asked for. */
  readonly os: string
  readonly history: PlannedHistory[]
  readonly useCache: boolean
  config: Mutable<ExecutionConfig>
  author: string | undefined
  top: Step | undefined
  /** CMD was set in this very stage: ENTRYPOINT does not clear it. */
  hasCommand: boolean
  /** Steps so far, and in all, for titles. */
  position: number
  readonly total: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const defaultShell: readonly string[] = ['/bin/sh', '-c']
const windowsShell: readonly string[] = ['cmd', '/S', '/C']

/** What runs the shell form: SHELL of this file or of the base image, else what is usual where the image runs. */
export function shellOf({ config: { Shell: shell }, os }: Pick<Draft, 'config' | 'os'>): readonly string[] {
  if (shell !== undefined && shell.length > 0) return shell
  return os === 'windows' ? windowsShell : defaultShell
}

/** Adds a step that makes a layer. */
export function push(draft: Draft, instruction: Instruction, createdBy: string, op: Op, inputs: readonly Step[]): void {
  const { planner } = draft
  draft.position++
  const step: Step = {
    id: newId(planner),
    op,
    ...(draft.top !== undefined && { parent: draft.top }),
    inputs,
    span: instruction.span,
    title: `[${stageTitle(planner, draft.stage)}${draft.position}/${draft.total}] ${redactUrl(titleText(instruction))}`,
    stage: stageName(draft.stage),
    useCache: draft.useCache,
  }
  draft.top = step
  draft.history.push({ createdBy, step, ...(draft.author !== undefined && { author: draft.author }) })
}

function titleText(instruction: Instruction): string {
  const text = instruction.text.trim()
  // The body of a heredoc is content, not title.
  return 'heredocs' in instruction && instruction.heredocs.length > 0 ? (text.split('\n')[0] as string) : text.replace(/\s*\n\s*/g, ' ')
}

export function newId(planner: Planner): string {
  const { prefix } = planner.options
  return `${prefix === undefined ? '' : `${prefix}-`}s${planner.count++}`
}

/** `build `, or nothing for the only stage of a file. */
export function stageTitle(planner: Planner, stage: ResolvedStage): string {
  const prefix = planner.options.prefix === undefined ? '' : `${planner.options.prefix} `
  if (stage.stage.name !== undefined) return `${prefix}${stage.stage.name} `
  return planner.stages.length === 1 ? prefix : `${prefix}stage-${stage.index} `
}

/** What a `--from` leads to, as a step. Steps that are the same are one. */
export function sourceStep(planner: Planner, origin: Origin, stage: ResolvedStage, span: Span): Step {
  const at = { span, stage: stageName(stage), useCache: true }
  switch (origin.kind) {
    case 'stage': {
      const top = (planner.planned.get(origin.index) as PlannedStage).top
      return (
        top ??
        addStep(planner, { kind: 'image', reference: 'scratch', platform: planner.options.targetPlatform }, { ...at, title: 'scratch' })
      )
    }
    case 'scratch':
      return addStep(
        planner,
        { kind: 'image', reference: 'scratch', platform: planner.options.targetPlatform },
        { ...at, title: 'scratch' },
      )
    case 'image': {
      const platform = platformOf(planner, stage)
      need(planner, origin.reference, platform, span)
      return addStep(planner, { kind: 'image', reference: origin.reference, platform }, { ...at, title: `FROM ${origin.reference}` })
    }
    case 'context':
      if (origin.location.kind === 'git') {
        return addStep(
          planner,
          { kind: 'git', url: origin.location.url },
          { ...at, title: `[context ${origin.name}] ${redactUrl(origin.location.url)}` },
        )
      }
      return addStep(planner, { kind: 'local', context: origin.name }, { ...at, title: `[context ${origin.name}]` })
  }
}

/** The main build context. */
export function contextStep(planner: Planner): Step {
  return addStep(planner, { kind: 'local', context: '' }, { title: '[context]', span: undefined, stage: '', useCache: true })
}

export function addStep(planner: Planner, op: Op, rest: Pick<Step, 'title' | 'span' | 'stage' | 'useCache'>): Step {
  const key = JSON.stringify(op)
  const known = planner.steps.get(key)
  if (known !== undefined) return known
  const step: Step = { id: newId(planner), op, inputs: [], ...rest }
  planner.steps.set(key, step)
  return step
}
