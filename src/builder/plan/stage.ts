import type { ExecutionConfig, Healthcheck } from '#oci/config.ts'
import type { Instruction, InstructionOf } from '#dockerfile/instruction.ts'
import type { Scope } from '#dockerfile/scope.ts'
import type { ResolvedStage } from '#dockerfile/stage.ts'
import type { Step } from './step.ts'
import { shellCommand } from '#dockerfile/run.ts'
import { createScope } from '#dockerfile/scope.ts'
import { asFault, atSpan } from '#dockerfile/fault.ts'
import { normalizeWorkdir, parsePorts } from '#dockerfile/values.ts'
import { StaveError } from '#error.ts'
import { parseSignal } from '#text/signal.ts'
import { addStep, newId, push, shellOf, sourceStep, stageTitle, type Draft } from './draft.ts'
import { planCopy } from './copy.ts'
import { planRun } from './run.ts'
import { baseOf, imageKey, need, platformOf, replacement, stageName, type PlannedStage, type Planner } from './planner.ts'

export function planStage(planner: Planner, stage: ResolvedStage): PlannedStage {
  const instructions =
    replacement(planner, stage) === undefined ? [...(planner.triggers.get(stage.index) ?? []), ...stage.stage.instructions] : []
  const total = 1 + instructions.filter((instruction) => layerKinds.has(instruction.kind)).length
  const start = startOf(planner, stage, total)
  const draft: Draft = { ...start.draft, position: 1, total, hasCommand: false }
  for (const instruction of instructions) atSpan(instruction.span, () => evaluate(draft, instruction))
  return {
    name: stageName(stage),
    index: stage.index,
    platform: draft.platform,
    base: start.base,
    top: draft.top,
    config: { ...draft.config, Env: draft.scope.env() },
    author: draft.author,
    history: draft.history,
    scope: draft.scope,
  }
}

const layerKinds: ReadonlySet<Instruction['kind']> = new Set(['RUN', 'COPY', 'ADD', 'WORKDIR'])

interface Start {
  readonly draft: Omit<Draft, 'position' | 'total' | 'hasCommand'>
  readonly base: PlannedStage['base']
}

function startOf(planner: Planner, stage: ResolvedStage, total: number): Start {
  const origin = baseOf(planner, stage)
  const platform = platformOf(planner, stage)
  const { noCache } = planner.options
  const useCache = !(
    noCache === true ||
    (Array.isArray(noCache) && noCache.some((name: string) => name.toLowerCase() === stageName(stage)))
  )
  const shared = { planner, stage, platform, useCache }
  const scopeOf = (env: readonly string[]): Scope => {
    const scope = createScope({
      globals: planner.globals,
      buildArgs: planner.options.buildArgs,
      env,
      escape: planner.dockerfile.directives.escape,
      addPath: platform.os !== 'windows',
    })
    for (const [name, value] of planner.options.env ?? []) scope.set(name, value)
    return scope
  }

  if (origin.kind === 'stage') {
    const parent = planner.planned.get(origin.index) as PlannedStage
    const { OnBuild: _consumed, ...config } = parent.config
    return {
      draft: {
        ...shared,
        os: parent.base?.config.os ?? parent.platform.os,
        scope: parent.scope.child(),
        history: [...parent.history],
        config,
        author: parent.author,
        top: parent.top,
      },
      base: parent.base,
    }
  }
  if (origin.kind === 'image') {
    const image = need(planner, origin.reference, platform, stage.stage.from.span)
    const { OnBuild: _consumed, ...config } = image?.config ?? {}
    const title = `[${stageTitle(planner, stage)}1/${total}] FROM ${origin.reference}`
    const top = addStep(
      planner,
      { kind: 'image', reference: origin.reference, platform },
      { title, span: stage.stage.from.span, stage: stageName(stage), useCache },
    )
    return {
      draft: {
        ...shared,
        os: image?.os ?? platform.os,
        scope: scopeOf(config.Env ?? []),
        history: [],
        config,
        author: image?.author,
        top,
      },
      base: image === undefined ? undefined : { key: imageKey(origin.reference, platform), config: image },
    }
  }
  const scope = scopeOf([])
  const config: ExecutionConfig = { WorkingDir: '/' }
  const draft = { ...shared, os: platform.os, scope, history: [], config, author: undefined, top: undefined }
  if (origin.kind === 'scratch') return { draft, base: undefined }
  // A directory in place of a base image: its files are the first layer.
  const source = sourceStep(planner, origin, stage, stage.stage.from.span)
  const title = `[${stageTitle(planner, stage)}1/${total}] FROM ${origin.name}`
  const top: Step = {
    id: newId(planner),
    op: { kind: 'copy', to: '/', items: [{ kind: 'select', input: 0, sources: ['.'], resetOwner: true }] },
    inputs: [source],
    span: stage.stage.from.span,
    title,
    stage: stageName(stage),
    useCache,
  }
  return { draft: { ...draft, top, history: [{ createdBy: `COPY ${origin.name} / # stave`, step: top }] }, base: undefined }
}

function evaluate(draft: Draft, instruction: Instruction): void {
  const { scope } = draft
  const { span } = instruction
  switch (instruction.kind) {
    case 'FROM':
      throw new StaveError('dockerfile', 'cannot evaluate FROM inside a stage', { span })
    case 'RUN':
      return planRun(draft, instruction)
    case 'COPY':
    case 'ADD':
      return planCopy(draft, instruction)
    case 'WORKDIR':
      return workdir(draft, instruction)
    case 'ARG': {
      const declared = scope.declare(instruction)
      return note(draft, `ARG ${declared.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`)).join(' ')}`)
    }
    case 'ENV': {
      const pairs = expandPairs(draft, instruction)
      for (const [key, value] of pairs) scope.set(key, value)
      return note(draft, `ENV ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`)
    }
    case 'LABEL': {
      const pairs = expandPairs(draft, instruction)
      draft.config.Labels = { ...draft.config.Labels, ...Object.fromEntries(pairs) }
      return note(draft, `LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`)
    }
    case 'USER':
      return user(draft, instruction)
    case 'EXPOSE': {
      const ports = parsePorts(instruction.ports.flatMap((word) => scope.expandWords(word, span)))
      draft.config.ExposedPorts = { ...draft.config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) }
      return note(draft, `EXPOSE [${ports.join(' ')}]`)
    }
    case 'VOLUME':
      return volumes(draft, instruction)
    case 'CMD':
      draft.config.Cmd = shellCommand(instruction.command, shellOf(draft))
      draft.hasCommand = true
      return note(draft, `CMD ${quoted(draft.config.Cmd ?? [])}`)
    case 'ENTRYPOINT':
      draft.config.Entrypoint =
        instruction.command.form === 'exec' && instruction.command.args.length === 0
          ? null
          : shellCommand(instruction.command, shellOf(draft))
      if (!draft.hasCommand) draft.config.Cmd = null
      return note(draft, `ENTRYPOINT ${quoted(draft.config.Entrypoint ?? [])}`)
    case 'SHELL':
      draft.config.Shell = instruction.command
      return note(draft, `SHELL [${instruction.command.join(' ')}]`)
    case 'STOPSIGNAL': {
      const signal = scope.expand(instruction.signal, span)
      asFault(() => parseSignal(signal))
      draft.config.StopSignal = signal
      return note(draft, `STOPSIGNAL ${signal}`)
    }
    case 'HEALTHCHECK':
      draft.config.Healthcheck = healthcheck(instruction)
      return note(draft, `HEALTHCHECK ${instruction.text.replace(/^\s*\S+\s*/, '')}`)
    case 'ONBUILD':
      // Not in the history: it has not happened yet.
      draft.config.OnBuild = [...(draft.config.OnBuild ?? []), instruction.triggerText]
      return
    case 'MAINTAINER':
      draft.author = instruction.name
      return note(draft, `MAINTAINER ${instruction.name}`)
    default:
      throw new StaveError('dockerfile', `cannot evaluate ${(instruction satisfies never as Instruction).keyword}`, { span })
  }
}

function user(draft: Draft, instruction: InstructionOf<'USER'>): void {
  const { span } = instruction
  const name = draft.scope.expand(instruction.user, span)
  if (name === '') {
    const hint = 'Give the variable a value, or write USER root if that is meant.'
    draft.planner.warnings.push({ message: `USER ${instruction.user} is root: it is empty after expansion`, span, hint })
  }
  draft.config.User = name
  note(draft, `USER ${name}`)
}

function volumes(draft: Draft, { paths, span }: InstructionOf<'VOLUME'>): void {
  const expanded = paths.map((path) => draft.scope.expand(path, span).trim())
  if (expanded.includes('')) throw new StaveError('dockerfile', 'cannot use VOLUME: a path is empty after expansion', { span })
  draft.config.Volumes = { ...draft.config.Volumes, ...Object.fromEntries(expanded.map((path) => [path, {}])) }
  note(draft, `VOLUME [${expanded.join(' ')}]`)
}

function workdir(draft: Draft, instruction: InstructionOf<'WORKDIR'>): void {
  const written = draft.scope.expand(instruction.path, instruction.span)
  const path = normalizeWorkdir(draft.config.WorkingDir ?? '/', written)
  // Config and history have an absolute path as it was written, as BuildKit's do: with slashes at its end and dots in it.
  const shown = path !== '/' && written.startsWith('/') ? written : path
  draft.config.WorkingDir = shown
  if (path === '/') {
    note(draft, 'WORKDIR /')
    return
  }
  const user = draft.config.User
  push(
    draft,
    instruction,
    `WORKDIR ${shown}`,
    { kind: 'copy', to: path, items: [{ kind: 'directory' }], ...(user !== undefined && { user }) },
    [],
  )
}

function healthcheck(instruction: InstructionOf<'HEALTHCHECK'>): Healthcheck {
  const { interval, timeout, startPeriod, startInterval, retries } = instruction
  return {
    Test: instruction.test,
    ...(interval ? { Interval: interval } : {}),
    ...(timeout ? { Timeout: timeout } : {}),
    ...(startPeriod ? { StartPeriod: startPeriod } : {}),
    ...(startInterval ? { StartInterval: startInterval } : {}),
    ...(retries ? { Retries: retries } : {}),
  }
}

/** A name that is empty after expansion is kept, as BuildKit keeps it: an image is none the worse for it, but hardly what was meant. */
function expandPairs(
  { scope, planner }: Draft,
  { keyword, pairs, span }: InstructionOf<'ENV'> | InstructionOf<'LABEL'>,
): [string, string][] {
  return pairs.map(({ key, value }) => {
    const name = scope.expand(key, span)
    if (name === '') {
      const hint = 'Give the variable a value.'
      planner.warnings.push({ message: `${keyword} ${key}=${value} has no name: it is empty after expansion`, span, hint })
    }
    return [name, scope.expand(value, span)]
  })
}

/** As Go prints a list of quoted strings. */
function quoted(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(' ')}]`
}

function note(draft: Draft, createdBy: string): void {
  draft.history.push({ createdBy, ...(draft.author !== undefined && { author: draft.author }) })
}
