import type { Dockerfile, Instruction } from '#dockerfile/instruction.ts'
import type { Globals, ResolvedStage } from '#dockerfile/stage.ts'
import type { Span } from '#error.ts'
import type { ExecutionConfig, ImageConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { Scope } from '#dockerfile/scope.ts'
import { isLocalPlace } from '#places/location.ts'
import type { ContextLocation } from './source-url.ts'
import type { Step } from './step.ts'
import { resolveFrom } from '#dockerfile/stage.ts'
import { StaveError } from '#error.ts'
import { formatPlatform } from '#oci/platform.ts'

export interface PlanOptions {
  readonly target?: string
  /** Those of the caller, and its proxies. */
  readonly buildArgs: ReadonlyMap<string, string>
  readonly targetPlatform: Platform
  readonly buildPlatform: Platform
  /** Named contexts, by lower-case name; what is a key `name::os/arch` counts for that platform only. */
  readonly contexts: ReadonlyMap<string, ContextLocation>
  readonly noCache: boolean | readonly string[]
  readonly network: 'host' | 'none'
  readonly hosts: readonly string[]
  readonly allow: readonly string[]
  /** The Dockerfile is the caller's own, and may name files of this machine (`FROM oci:DIR`). */
  readonly isLocal: boolean
  /** How modes of a context's files count. Empty: as they are. */
  readonly modes?: { readonly modes?: 'git' }
  /** Of the sandbox, what counts for keys. */
  readonly sandbox?: Readonly<Record<string, unknown>>
  /** Variables of every stage that is based on an image. */
  readonly env?: readonly (readonly [name: string, value: string])[]
  /** With several platforms: distinguishes this plan's steps. */
  readonly prefix?: string
}

/** An image whose config a plan depends on, or that it copies from. */
export interface ImageNeed {
  readonly key: string
  readonly reference: string
  readonly platform: Platform
  readonly span: Span | undefined
}

export interface PlanWarning {
  readonly message: string
  readonly span: Span | undefined
  readonly hint?: string
}

/** A history entry of the result: of a step, or of an instruction that makes none. */
export interface PlannedHistory {
  readonly createdBy: string
  readonly author?: string
  readonly step?: Step
}

/** A stage with all its instructions evaluated. */
export interface PlannedStage {
  readonly name: string
  readonly index: number
  readonly platform: Platform
  /** The base image at the root of it all, with its config. Absent: scratch. */
  readonly base: { readonly key: ImageNeed['key']; readonly config: ImageConfig } | undefined
  /** The state that the stage ends with. Absent: the empty tree. */
  readonly top: Step | undefined
  /** As the image will have it. */
  readonly config: ExecutionConfig
  readonly author: string | undefined
  /** What comes after the base image's. */
  readonly history: readonly PlannedHistory[]
  readonly scope: Scope
}

/** Configs of base images that are resolved already, by {@link imageKey}. */
export type BaseConfigs = ReadonlyMap<string, ImageConfig>

/** What the planning of all stages shares. */
export interface Planner {
  readonly dockerfile: Dockerfile
  readonly options: PlanOptions
  readonly bases: BaseConfigs
  readonly globals: Globals
  readonly stages: readonly ResolvedStage[]
  readonly target: number
  readonly planned: Map<number, PlannedStage>
  readonly needs: Map<string, ImageNeed>
  /** ONBUILD instructions of base images, by stage. */
  readonly triggers: Map<number, readonly Instruction[]>
  /** Those of them that nobody has read who builds: what they may ask for is less. */
  readonly foreign: Set<Instruction>
  /** Steps that stages share: contexts, images, downloads. By what they are. */
  readonly steps: Map<string, Step>
  readonly warnings: PlanWarning[]
  count: number
}

/** Where a name that a `FROM` or a `--from` gives leads to. */
export type Origin =
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'context'; readonly name: string; readonly location: ContextLocation }
  | { readonly kind: 'scratch' }

/** The named context that stands for this whole stage, if there is one. */
export function replacement(planner: Planner, stage: ResolvedStage): { name: string; location: ContextLocation } | undefined {
  return stage.stage.name === undefined ? undefined : contextFor(planner, stage.stage.name, platformOf(planner, stage))
}

/** What a stage starts from. */
export function baseOf(planner: Planner, stage: ResolvedStage): Origin {
  const replaced = replacement(planner, stage)
  if (replaced !== undefined) return asOrigin(replaced)
  if (stage.base.kind !== 'image') return stage.base
  const context = contextForImage(planner, stage.base.name, platformOf(planner, stage))
  if (context !== undefined) return asOrigin(context)
  if (!planner.options.isLocal) refusePlace(stage.base.name, 'the Dockerfile', stage.stage.from.span)
  return { kind: 'image', reference: stage.base.name }
}

/** What `--from` of an instruction names, seen from a stage. */
export function originOf(planner: Planner, stage: ResolvedStage, from: string, instruction: Instruction): Origin {
  const { span } = instruction
  const found = resolveFrom(planner.stages, from, { stage: stage.index, span, what: instruction.kind === 'RUN' ? 'RUN' : 'COPY' })
  if (found.kind !== 'image') return found
  const context = contextForImage(planner, found.name, platformOf(planner, stage))
  if (context !== undefined) return asOrigin(context)
  const isForeign = planner.foreign.has(instruction)
  if (isForeign || !planner.options.isLocal) refusePlace(found.name, isForeign ? 'an ONBUILD of the base image' : 'the Dockerfile', span)
  return { kind: 'image', reference: found.name }
}

/** Files of this machine are for who builds here, and for nobody who only wrote what is built. */
function refusePlace(reference: string, who: string, span: Span): void {
  if (!isLocalPlace(reference)) return
  throw new StaveError('denied', `cannot use ${reference}: ${who} is from elsewhere, and may name no files of this machine`, {
    span,
    hint: 'Name them yourself: --build-context NAME=oci-layout://DIR, and NAME in the Dockerfile.',
  })
}

function asOrigin(context: { name: string; location: ContextLocation }): Origin {
  if (context.location.kind === 'image' && context.location.location === 'scratch') return { kind: 'scratch' }
  return context.location.kind === 'image'
    ? { kind: 'image', reference: context.location.location }
    : { kind: 'context', name: context.name, location: context.location }
}

/** Image names match a context by any of their forms: `alpine`, `alpine:latest`, `docker.io/library/alpine`. */
function contextForImage(planner: Planner, name: string, platform: Platform): { name: string; location: ContextLocation } | undefined {
  const bare = name
    .replace(/^docker\.io\//, '')
    .replace(/^library\//, '')
    .replace(/:latest$/, '')
  for (const form of [
    name,
    name.replace(/:latest$/, ''),
    bare,
    `${bare}:latest`,
    `docker.io/library/${bare}`,
    `library/${bare}`,
    `docker.io/${bare}`,
  ]) {
    const context = contextFor(planner, form, platform)
    if (context !== undefined) return context
  }
  return undefined
}

function contextFor(planner: Planner, name: string, platform: Platform): { name: string; location: ContextLocation } | undefined {
  const { contexts } = planner.options
  if (contexts.size === 0 || name === 'scratch' || name === 'context') return undefined
  for (const key of [`${name.toLowerCase()}::${formatPlatform(platform)}`, name.toLowerCase()]) {
    const location = contexts.get(key)
    if (location !== undefined) return { name: key, location }
  }
  return undefined
}

export function platformOf(planner: Planner, stage: ResolvedStage): Platform {
  let current: ResolvedStage | undefined = stage
  while (current !== undefined) {
    if (current.platform !== undefined) return current.platform
    current = current.base.kind === 'stage' ? planner.stages[current.base.index] : undefined
  }
  return planner.options.targetPlatform
}

/** The config of an image, or a note that it is needed. */
export function need(planner: Planner, reference: string, platform: Platform, span: Span | undefined): ImageConfig | undefined {
  const key = imageKey(reference, platform)
  const config = planner.bases.get(key)
  if (config === undefined && !planner.needs.has(key)) planner.needs.set(key, { key, reference, platform, span })
  return config
}

export function imageKey(reference: string, platform: Platform): string {
  return `${reference} ${formatPlatform(platform)}`
}

export function stageName(stage: ResolvedStage): string {
  return stage.stage.name ?? `${stage.index}`
}
