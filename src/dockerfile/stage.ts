import type { Span } from '#error.ts'
import type { Platform } from '#oci/descriptor.ts'
import { formatPlatform, parsePlatform } from '#oci/platform.ts'
import { expand } from './expand.ts'
import { asFault, atSpan, fault } from './fault.ts'
import type { Dockerfile, Instruction, Stage } from './instruction.ts'
import { csvFields } from '#text/csv.ts'
import { didYouMean } from '#text/suggest.ts'

export interface StageOptions {
  readonly buildArgs: ReadonlyMap<string, string>
  readonly targetPlatform: Platform
  readonly buildPlatform: Platform
  /** As `--target` says. */
  readonly target?: string
}

/** The variables of FROM lines: ARGs before the first FROM, and those about platforms. */
export interface Globals {
  readonly values: ReadonlyMap<string, string>
  /** Names of the ARGs before the first FROM, also of those without a value. */
  readonly declared: ReadonlySet<string>
  /** What completes a `--platform` that is only a system or an architecture. */
  readonly platform: Platform
}

/** What a stage or a `--from` refers to. */
export type Reference =
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly name: string }
  | { readonly kind: 'scratch' }

/** A stage with its FROM expanded and its base found. */
export interface ResolvedStage {
  readonly stage: Stage
  readonly index: number
  readonly base: Reference
  /** The image's name as it was expanded: `scratch`, a stage's name or an image's. */
  readonly baseName: string
  /** As `--platform` says. A stage that is based on another one has the platform of that one all the same. */
  readonly platform?: Platform
}

/** The platform ARGs: visible in FROM, and in a stage after `ARG NAME`. A build argument overrides each. */
function platformArguments({ targetPlatform, buildPlatform }: StageOptions, stageName: string | undefined): [string, string][] {
  return [
    ['BUILDPLATFORM', formatPlatform({ ...buildPlatform, 'os.version': '' })],
    ['BUILDOS', buildPlatform.os],
    ['BUILDOSVERSION', buildPlatform['os.version'] ?? ''],
    ['BUILDARCH', buildPlatform.architecture],
    ['BUILDVARIANT', buildPlatform.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(targetPlatform)],
    ['TARGETOS', targetPlatform.os],
    ['TARGETOSVERSION', targetPlatform['os.version'] ?? ''],
    ['TARGETARCH', targetPlatform.architecture],
    ['TARGETVARIANT', targetPlatform.variant ?? ''],
    ['TARGETSTAGE', stageName === undefined || stageName === '' ? 'default' : stageName],
  ]
}

/** Resolves the ARGs before the first FROM. Each sees those before it and the platform ARGs. */
export function resolveGlobals(dockerfile: Dockerfile, options: StageOptions): Globals {
  const values = new Map<string, string>()
  const target = options.target !== undefined && options.target !== '' ? options.target : dockerfile.stages.at(-1)?.name
  for (const [key, value] of platformArguments(options, target)) values.set(key, options.buildArgs.get(key) ?? value)
  const declared = new Set<string>()
  for (const arg of dockerfile.globals) {
    arg.args.forEach(({ key, value: byDefault }, i) => {
      declared.add(key)
      const value =
        options.buildArgs.get(key) ??
        (byDefault === undefined
          ? undefined
          : atSpan(arg.wordSpans[i] ?? arg.span, () =>
              expand(byDefault, (name) => values.get(name), { escape: dockerfile.directives.escape }),
            ))
      if (value !== undefined) values.set(key, value)
    })
  }
  return { values, declared, platform: options.buildPlatform }
}

/**
 * Expands each FROM and finds what it is based on: the last stage of that name before it (case counts), else an
 * image. So `FROM alpine AS alpine` is the image.
 */
export function resolveStages(dockerfile: Dockerfile, globals: Globals): ResolvedStage[] {
  const { escape } = dockerfile.directives
  const byName = new Map<string, number>()
  return dockerfile.stages.map((stage, index) => {
    const { from } = stage
    const platformFlag = from.flags.find((flag) => flag.name === 'platform')
    const unset = new Set<string>()
    const expandHere = (word: string): string => expand(word, (name) => globals.values.get(name), { escape, unset })
    const imageSpan = from.wordSpans[0] ?? from.span
    const name = atSpan(imageSpan, () => expandHere(from.image))
    if (name === '') throw fault(`the base name ${from.image} of a stage should not be blank`, imageSpan, undeclared(unset, globals))
    const platform =
      from.platform === undefined
        ? undefined
        : readStagePlatform(from.platform, expandHere, unset, globals, platformFlag?.span ?? from.span)
    const earlier = byName.get(name)
    const base: Reference =
      earlier !== undefined ? { kind: 'stage', index: earlier } : name === 'scratch' ? { kind: 'scratch' } : { kind: 'image', name }
    if (stage.name !== undefined) byName.set(stage.name, index)
    return { stage, index, base, baseName: name, ...(platform !== undefined && { platform }) }
  })
}

function readStagePlatform(text: string, expandHere: (word: string) => string, unset: Set<string>, globals: Globals, span: Span): Platform {
  unset.clear()
  return atSpan(span, () => {
    const value = expandHere(text)
    if (value === '') throw fault(`the platform ${text} is empty`, span, undeclared(unset, globals))
    try {
      return parsePlatform(value, globals.platform)
    } catch (cause) {
      throw fault(`invalid platform ${JSON.stringify(value)}`, span, 'A platform is written linux/amd64 or linux/arm/v7.', cause)
    }
  })
}

function undeclared(unset: ReadonlySet<string>, globals: Globals): string | undefined {
  for (const name of unset) {
    if (globals.declared.has(name)) return `ARG ${name} has no value: give it a default, or set it with --build-arg ${name}=VALUE.`
    const option = didYouMean(name, [...globals.values.keys(), ...globals.declared])
    if (option !== undefined) return option
    return `${name} is not declared: FROM sees only ARGs that stand before the first FROM.`
  }
  return undefined
}

/**
 * Finds the stage that is wanted: by name, or as a number by its position; without a target the last one.
 *
 * @throws StaveError `usage` if there is none
 */
export function findTarget(stages: readonly ResolvedStage[], target?: string): ResolvedStage {
  const last = stages.at(-1)
  if (target === undefined || target === '') {
    if (last === undefined) throw fault('the file has no build stage')
    return last
  }
  const index = lastNamed(stages, target) ?? (/^\d+$/.test(target) ? Number(target) : undefined)
  const found = index === undefined ? undefined : stages[index]
  if (found !== undefined) return found
  const names = stageNames(stages)
  throw fault(
    `there is no stage called ${JSON.stringify(target)}`,
    last?.stage.from.span,
    didYouMean(target, names, true) ?? (names.length === 0 ? 'No stage has a name.' : `The stages are ${names.join(', ')}.`),
  )
}

export interface FromPlace {
  /** The stage in which it is written. */
  readonly stage: number
  readonly span: Span
  /** COPY `--from` may be a stage's number; `from=` of a RUN mount not. */
  readonly what: 'COPY' | 'RUN'
}

/**
 * Finds what `--from` (COPY) or `from=` (RUN mount) refers to: a stage, whatever the case of its name, else an image.
 *
 * @throws StaveError `dockerfile` for a variable, a number out of range, a stage that comes later, and the stage itself
 */
export function resolveFrom(stages: readonly ResolvedStage[], from: string, at: FromPlace): Reference {
  const { span } = at
  if (at.what === 'COPY') {
    const expanded = atSpan(span, () => expand(from, () => undefined))
    if (expanded !== from) {
      throw fault(
        `--from=${from} cannot hold a variable`,
        span,
        'Define a stage with FROM that uses an ARG from before the first FROM, and copy from that.',
      )
    }
    if (/^[-+]?\d+$/.test(from)) {
      const index = Number(from)
      if (index < 0 || index >= stages.length)
        throw fault(`there is no stage ${from}`, span, `The stages have the numbers 0 to ${stages.length - 1}.`)
      return earlierStage(stages, index, from, at)
    }
  }
  const before = lastNamed(stages.slice(0, at.stage), from)
  const index = before ?? lastNamed(stages, from)
  if (index !== undefined) return earlierStage(stages, index, from, at)
  if (from.toLowerCase() === 'scratch') return { kind: 'scratch' }
  return { kind: 'image', name: from }
}

function earlierStage(stages: readonly ResolvedStage[], index: number, from: string, at: FromPlace): Reference {
  if (index < at.stage) return { kind: 'stage', index }
  const here = nameOf(stages[at.stage] as ResolvedStage)
  if (index === at.stage)
    throw fault(`circular dependency: stage ${here} takes from itself`, at.span, 'A file of the same stage is copied with RUN cp.')
  throw fault(
    `cannot take from stage ${JSON.stringify(from)}: it needs to be defined before stage ${here}`,
    at.span,
    'Move that stage further up.',
  )
}

/** A stage's name for messages: as written, or its number. */
export function nameOf(stage: ResolvedStage): string {
  return stage.stage.name ?? `stage-${stage.index}`
}

/** The names of the stages that have one. */
function stageNames(stages: readonly ResolvedStage[]): string[] {
  return stages.flatMap(({ stage }) => stage.name ?? [])
}

function lastNamed(stages: readonly ResolvedStage[], name: string): number | undefined {
  const wanted = name.toLowerCase()
  return stages.findLast(({ stage }) => stage.name === wanted)?.index
}

/** ONBUILD triggers of base images, parsed, by the index of the stage that they run in. */
export type Triggers = ReadonlyMap<number, readonly Instruction[]>

/**
 * The instructions of a stage in the order in which they run: first the ONBUILD triggers of its base (an image's
 * as given; those that a base stage of the same file sets), then its own.
 */
export function stageInstructions(
  stages: readonly ResolvedStage[],
  index: number,
  triggers?: Triggers,
): { instruction: Instruction; trigger: boolean }[] {
  const { stage, base } = stages[index] as ResolvedStage
  const inherited =
    base.kind === 'stage'
      ? (stages[base.index] as ResolvedStage).stage.instructions.flatMap((each) => (each.kind === 'ONBUILD' ? each.trigger : []))
      : []
  return [
    ...(triggers?.get(index) ?? []).map((instruction) => ({ instruction, trigger: true })),
    ...inherited.map((instruction) => ({ instruction, trigger: true })),
    ...stage.instructions.map((instruction) => ({ instruction, trigger: false })),
  ]
}

/** What one stage takes from others. */
function stageDependencies(stages: readonly ResolvedStage[], index: number, triggers?: Triggers): { reference: Reference; span: Span }[] {
  const { base, stage } = stages[index] as ResolvedStage
  const out: { reference: Reference; span: Span }[] = [{ reference: base, span: stage.from.span }]
  for (const { instruction } of stageInstructions(stages, index, triggers)) {
    if (instruction.kind === 'COPY' && instruction.from !== undefined) {
      const span = instruction.flags.find((flag) => flag.name === 'from')?.span ?? instruction.span
      out.push({ reference: resolveFrom(stages, instruction.from, { stage: index, span, what: 'COPY' }), span })
    }
    if (instruction.kind !== 'RUN') continue
    for (const flag of instruction.flags) {
      const from = flag.name === 'mount' ? mountFrom(flag.value) : undefined
      if (from !== undefined)
        out.push({ reference: resolveFrom(stages, from, { stage: index, span: flag.span, what: 'RUN' }), span: flag.span })
    }
  }
  return out
}

/** `from` of a mount, without need for its variables: it cannot hold one. */
function mountFrom(value: string): string | undefined {
  const fields = asFault(() => csvFields(value)).map((field) => /^from=(.*)$/is.exec(field)?.[1] ?? '')
  return fields.findLast((from) => from !== '')
}

/**
 * The stages that must be built for `target`, each after those that it takes from.
 *
 * @throws StaveError `dockerfile` if one of them refers to a later stage or to itself
 */
export function reachableStages(stages: readonly ResolvedStage[], target: number, triggers?: Triggers): number[] {
  // Every reference points to an earlier stage (see resolveFrom), so there is no cycle to look for,
  // and the order of the file is an order of dependencies.
  const needed = new Set([target])
  for (let index = target; index >= 0; index--) {
    if (!needed.has(index)) continue
    for (const { reference } of stageDependencies(stages, index, triggers)) if (reference.kind === 'stage') needed.add(reference.index)
  }
  return [...needed].sort((a, b) => a - b)
}
