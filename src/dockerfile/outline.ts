import { expand } from './expand.ts'
import { atSpan } from './fault.ts'
import type { Dockerfile, Instruction } from './instruction.ts'
import { parseMount } from './mount.ts'
import { createScope, type Scope } from './scope.ts'
import {
  findTarget,
  type Globals,
  reachableStages,
  type ResolvedStage,
  resolveGlobals,
  resolveStages,
  stageInstructions,
  type StageOptions,
  type Triggers,
} from './stage.ts'

/** What a person must know to build a target: `--call=outline`. */
export interface Outline {
  readonly target?: string
  readonly description?: string
  readonly arguments: readonly OutlineArgument[]
  readonly secrets: readonly Need[]
  readonly ssh: readonly Need[]
  readonly cache: readonly Omit<Need, 'required'>[]
}

export interface OutlineArgument {
  readonly name: string
  readonly value?: string
  /** Of the comment above it, if that begins with its name. */
  readonly description?: string
  readonly line: number
}

export interface Need {
  readonly id: string
  readonly required: boolean
  readonly line: number
}

/** What can be built: `--call=targets`. */
export interface Target {
  readonly name?: string
  readonly index: number
  readonly description?: string
  readonly base: string
  readonly platform?: string
  readonly isDefault: boolean
  readonly line: number
}

/** The text of a comment above an instruction that begins with the name of what is defined. */
export function docComment(comments: readonly string[], name: string): string | undefined {
  return comments.find((comment) => comment.startsWith(`${name} `))?.slice(name.length + 1)
}

/** Lists the stages of a file. Nothing is expanded. */
export function listTargets(dockerfile: Dockerfile): Target[] {
  const last = dockerfile.stages.length - 1
  return dockerfile.stages.map(({ index, name, from }) => {
    const description = name === undefined ? undefined : docComment(from.comments, name)
    return {
      ...(name !== undefined && { name }),
      index,
      ...(description !== undefined && { description }),
      base: from.image,
      ...(from.platform !== undefined && { platform: from.platform }),
      isDefault: index === last,
      line: from.span.line,
    }
  })
}

/**
 * Lists the ARGs, secrets and SSH agents that the stages use which a target needs, with the values that they would have.
 *
 * @param triggers of base images, by the index of the stage
 * @throws StaveError `dockerfile`
 */
export function outline(dockerfile: Dockerfile, options: StageOptions, triggers?: Triggers): Outline {
  const globals = resolveGlobals(dockerfile, options)
  const stages = resolveStages(dockerfile, globals)
  const target = findTarget(stages, options.target)
  const found: Found = { arguments: new Map(), secrets: new Map(), ssh: new Map(), cache: new Map() }
  const definitions = globalDefinitions(dockerfile, globals)
  const scopes = new Map<number, Scope>()
  for (const index of reachableStages(stages, target.index, triggers)) {
    const stage = stages[index] as ResolvedStage
    for (const name of namesInFrom(stage, dockerfile, globals)) addGlobal(name, definitions, found)
    const base = stage.base.kind === 'stage' ? scopes.get(stage.base.index) : undefined
    const { escape } = dockerfile.directives
    const scope = base?.child() ?? createScope({ globals, buildArgs: options.buildArgs, env: [], escape })
    scopes.set(index, scope)
    for (const { instruction } of stageInstructions(stages, index, triggers)) collect(instruction, scope, options, definitions, found)
  }
  const { name, from } = target.stage
  const description = name === undefined ? undefined : docComment(from.comments, name)
  return {
    ...(name !== undefined && { target: name }),
    ...(description !== undefined && { description }),
    arguments: byLine(found.arguments),
    secrets: byLine(found.secrets),
    ssh: byLine(found.ssh),
    cache: byLine(found.cache),
  }
}

interface Found {
  readonly arguments: Map<string, OutlineArgument>
  readonly secrets: Map<string, Need>
  readonly ssh: Map<string, Need>
  readonly cache: Map<string, Omit<Need, 'required'>>
}

/** An ARG before the first FROM, and the names that its default uses. */
interface Definition {
  readonly argument: OutlineArgument
  readonly uses: ReadonlySet<string>
}

function byLine<T extends { readonly line: number }>(entries: ReadonlyMap<string, T>): T[] {
  return [...entries.values()].sort((a, b) => a.line - b.line)
}

function globalDefinitions(dockerfile: Dockerfile, globals: Globals): Map<string, Definition> {
  const definitions = new Map<string, Definition>()
  for (const arg of dockerfile.globals) {
    for (const { key, value } of arg.args) {
      const uses = new Set<string>(definitions.get(key)?.uses)
      if (value !== undefined) expand(value, (name) => globals.values.get(name), { escape: dockerfile.directives.escape, used: uses })
      uses.delete(key)
      definitions.set(key, { argument: argumentOf(key, globals.values.get(key), arg), uses })
    }
  }
  return definitions
}

function argumentOf(name: string, value: string | undefined, { comments, span }: Instruction): OutlineArgument {
  const description = docComment(comments, name)
  return { name, ...(value !== undefined && { value }), ...(description !== undefined && { description }), line: span.line }
}

function namesInFrom({ stage: { from } }: ResolvedStage, dockerfile: Dockerfile, globals: Globals): ReadonlySet<string> {
  const used = new Set<string>()
  for (const word of [from.image, from.platform ?? ''])
    expand(word, (name) => globals.values.get(name), { escape: dockerfile.directives.escape, used })
  return used
}

function addGlobal(name: string, definitions: ReadonlyMap<string, Definition>, found: Found): void {
  const definition = definitions.get(name)
  if (definition === undefined || found.arguments.has(name)) return
  found.arguments.set(name, definition.argument)
  for (const used of definition.uses) addGlobal(used, definitions, found)
}

function collect(
  instruction: Instruction,
  scope: Scope,
  options: StageOptions,
  definitions: ReadonlyMap<string, Definition>,
  found: Found,
): void {
  const { span } = instruction
  if (instruction.kind === 'ARG') {
    for (const { key, value } of scope.declare(instruction)) {
      const isOwn = options.buildArgs.has(key) || instruction.args.some((arg) => arg.key === key && arg.value !== undefined)
      if (isOwn || !definitions.has(key)) found.arguments.set(key, argumentOf(key, value, instruction))
      else addGlobal(key, definitions, found)
    }
  } else if (instruction.kind === 'ENV') {
    const pairs = instruction.pairs.map(({ key, value }) => [scope.expand(key, span), scope.expand(value, span)] as const)
    for (const [key, value] of pairs) scope.set(key, value)
  } else if (instruction.kind === 'RUN') {
    for (const text of instruction.mounts) {
      const mount = atSpan(span, () => parseMount(text, (word) => scope.expand(word)))
      if (mount.type === 'cache' && !found.cache.has(mount.id)) found.cache.set(mount.id, { id: mount.id, line: span.line })
      if (mount.type !== 'secret' && mount.type !== 'ssh') continue
      const needs = mount.type === 'secret' ? found.secrets : found.ssh
      if (!needs.has(mount.id)) needs.set(mount.id, { id: mount.id, required: mount.required, line: span.line })
    }
  }
}
