import type { Span } from '#error.ts'
import type { Platform } from '#oci/descriptor.ts'
import { formatPlatform, parsePlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'
import { checkOptions, isEnabled, withComments } from './check-options.ts'
import type { CheckOptions } from './check-options.ts'
import { expand } from './expand.ts'
import { ignoreMatcher, type IgnoreMatcher, type IgnorePattern } from './ignore.ts'
import type { Dockerfile, Instruction, InstructionOf, Stage } from './instruction.ts'
import { rules, type RuleName } from './rules.ts'
import { createScope, type Scope } from './scope.ts'
import {
  type Globals,
  resolveGlobals,
  resolveStages,
  type ResolvedStage,
  stageInstructions,
  type StageOptions,
  type Triggers,
} from './stage.ts'
import { suggest } from '#text/suggest.ts'
import { parseExposed } from './values.ts'

export interface LintWarning {
  readonly rule: RuleName
  readonly message: string
  /** What the rule is, whatever was found. */
  readonly description: string
  readonly file: string
  readonly span: Span
}

/** What is known of a base image. */
export interface BaseImage {
  readonly env: readonly string[]
  readonly shell?: readonly string[]
  readonly platform?: Platform
}

export interface LintOptions extends Omit<StageOptions, 'buildArgs'> {
  readonly buildArgs?: ReadonlyMap<string, string>
  /** Of the context. Absent: there is no ignore file. */
  readonly ignore?: readonly IgnorePattern[]
  /** Base images by the index of their stage. Of a stage whose image is not known, fewer things are said. */
  readonly images?: ReadonlyMap<number, BaseImage>
  /** ONBUILD triggers of base images. */
  readonly triggers?: Triggers
  /** Only the instructions of these stages are evaluated. Default all. */
  readonly stages?: ReadonlySet<number>
}

/** Where a warning goes: it knows what the file and its comments turn off. */
type Report = (rule: RuleName, at: { readonly span: Span; readonly comments?: readonly string[] }, message: string) => void

/**
 * Checks a Dockerfile with BuildKit's rules, in the order of the file.
 *
 * @throws StaveError `dockerfile` for what no build could do: a variable that must be set, a stage that is missing
 */
export function lint(dockerfile: Dockerfile, options: LintOptions): LintWarning[] {
  const buildArgs = options.buildArgs ?? new Map<string, string>()
  const check = checkOptions(dockerfile, buildArgs)
  const warnings: LintWarning[] = []
  const seen = new Set<string>()
  const report: Report = (rule, { span, comments }, message) => {
    const here: CheckOptions = comments === undefined ? check : withComments(check, comments)
    const key = `${rule} ${span.line} ${span.column} ${message}`
    if (!isEnabled(here, rule) || seen.has(key)) return
    seen.add(key)
    warnings.push({ rule, message, description: rules[rule].description, file: dockerfile.file, span })
  }
  lintText(dockerfile, report)
  const stageOptions: StageOptions = { ...options, buildArgs }
  lintDefaults(dockerfile, stageOptions, report)
  const globals = resolveGlobals(dockerfile, stageOptions)
  for (const stage of dockerfile.stages) lintFrom(dockerfile, stage, globals, report)
  lintStages(dockerfile, resolveStages(dockerfile, globals), { ...options, buildArgs, globals }, report)
  return warnings.sort((a, b) => a.span.line - b.span.line || a.span.column - b.span.column)
}

/** Rules about what is written, without its meaning. */
function lintText(dockerfile: Dockerfile, report: Report): void {
  for (const line of dockerfile.emptyContinuations) {
    report(
      'NoEmptyContinuation',
      { span: { file: dockerfile.file, line, column: 1, endLine: line, endColumn: 2 } },
      'empty line between continuation lines',
    )
  }
  const names = new Set<string>()
  for (const { from } of dockerfile.stages) {
    const words = from.text.split(/[\t\v\f\r ]+/)
    const [as = '', name = ''] = words.slice(-2)
    const keyword = written(from)
    if (from.name === undefined) continue
    if (name !== name.toLowerCase()) report('StageNameCasing', from, `stage name ${JSON.stringify(name)} should be in lower case`)
    if ((keyword === keyword.toLowerCase() && as !== as.toLowerCase()) || (keyword === keyword.toUpperCase() && as !== as.toUpperCase()))
      report('FromAsCasing', from, `${keyword} and ${as} are not in the same case`)
    if (from.name === 'scratch' || from.name === 'context')
      report('ReservedStageName', from, `${JSON.stringify(from.name)} is reserved: give the stage another name`)
    if (names.has(from.name))
      report('DuplicateStageName', from, `there is a stage ${JSON.stringify(from.name)} already: give this one another name`)
    names.add(from.name)
    lintDescription('FROM', [from.name], from, report)
  }
  const all = dockerfile.stages.flatMap(({ from, instructions }) => [from, ...instructions])
  lintCasing(all, report)
  for (const instruction of [...dockerfile.globals, ...all]) {
    if (instruction.kind === 'MAINTAINER') {
      report(
        'MaintainerDeprecated',
        instruction,
        `MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=${JSON.stringify(instruction.name)}`,
      )
    }
    if (instruction.kind === 'ARG') {
      lintDescription(
        'ARG',
        instruction.args.map(({ key }) => key),
        instruction,
        report,
      )
    }
  }
}

/** The keyword as it is written. */
function written(instruction: Instruction): string {
  return instruction.text.slice(0, instruction.keyword.length)
}

function lintCasing(instructions: readonly Instruction[], report: Report): void {
  let balance = 0
  for (const instruction of instructions) {
    const keyword = written(instruction)
    if (keyword === keyword.toLowerCase()) balance++
    else if (keyword === keyword.toUpperCase()) balance--
  }
  const isLower = balance > 0
  for (const instruction of instructions) {
    const keyword = written(instruction)
    if (keyword === (isLower ? keyword.toLowerCase() : keyword.toUpperCase())) continue
    report(
      'ConsistentInstructionCasing',
      instruction,
      `${keyword} should be in ${isLower ? 'lower' : 'upper'} case, as most instructions are`,
    )
  }
}

function lintDescription(what: string, names: readonly string[], instruction: Instruction, report: Report): void {
  const last = instruction.comments.at(-1)
  if (last === undefined || names.includes(last.split(' ', 1)[0] as string)) return
  const name = names.length === 1 ? names[0] : '<arg_key>'
  report('InvalidDefinitionDescription', instruction, `the comment above ${what} should be of the form "# ${name} <description>"`)
}

/** Does each FROM name an image if no build arguments are given? */
function lintDefaults(dockerfile: Dockerfile, options: StageOptions, report: Report): void {
  const declared = new Set(dockerfile.globals.flatMap(({ args }) => args.map(({ key }) => key)))
  const buildArgs = new Map([...options.buildArgs].filter(([key]) => !declared.has(key)))
  let globals: Globals
  try {
    globals = resolveGlobals(dockerfile, { ...options, buildArgs })
  } catch {
    return // Defaults that cannot be expanded fail the build itself, with a better message.
  }
  for (const { from } of dockerfile.stages) {
    try {
      parseReference(expand(from.image, (name) => globals.values.get(name), { escape: dockerfile.directives.escape }))
    } catch {
      report('InvalidDefaultArgInFrom', from, `with the defaults of its ARGs, ${from.image} is no valid image name`)
    }
  }
}

function lintFrom(dockerfile: Dockerfile, { from }: Stage, globals: Globals, report: Report): void {
  const { escape } = dockerfile.directives
  const lookup = (name: string): string | undefined => globals.values.get(name)
  const known = new Set([...globals.values.keys(), ...globals.declared])
  const undeclared = (unset: ReadonlySet<string>): void => {
    for (const name of unset) {
      if (known.has(name)) continue
      report('UndefinedArgInFrom', from, `FROM uses ${name}, which no ARG before the first FROM declares${suggestion(name, known, '')}`)
    }
  }
  const unset = new Set<string>()
  expand(from.image, lookup, { escape, unset })
  undeclared(unset)
  if (from.platform === undefined) return
  const used = new Set<string>()
  const unsetPlatform = new Set<string>()
  const platform = expand(from.platform, lookup, { escape, used, unset: unsetPlatform })
  undeclared(unsetPlatform)
  if (unsetPlatform.size > 0) return
  if (used.size === 1 && used.has('TARGETPLATFORM') && platform === lookup('TARGETPLATFORM'))
    report('RedundantTargetPlatform', from, `--platform=${from.platform} is the default: leave it out`)
  if (used.size > 0) return
  const parsed = parsePlatform(platform, globals.platform)
  // A stage that says in its name which platform it is for means it.
  if (from.name?.includes(parsed.os) === true || from.name?.includes(parsed.architecture) === true) return
  report(
    'FromPlatformFlagConstDisallowed',
    from,
    `--platform should not be the constant ${JSON.stringify(platform)}: use $BUILDPLATFORM or an ARG, or say it in the stage's name`,
  )
}

function suggestion(name: string, options: Iterable<string>, prefix: string): string {
  const option = suggest(name, options)
  return option === undefined ? '' : ` (did you mean ${prefix}${option}?)`
}

interface Evaluation extends LintOptions {
  readonly buildArgs: ReadonlyMap<string, string>
  readonly globals: Globals
}

/** What is known after a stage, for those that are based on it. */
interface StageState {
  readonly scope: Scope
  /** The environment of the base image is known. */
  readonly isKnown: boolean
  hasWorkdir: boolean
  hasShell: boolean
}

function lintStages(dockerfile: Dockerfile, stages: readonly ResolvedStage[], options: Evaluation, report: Report): void {
  const states: StageState[] = []
  const matcher = options.ignore === undefined || options.ignore.some(({ negated }) => negated) ? undefined : ignoreMatcher(options.ignore)
  for (const stage of stages) {
    const state = startOf(dockerfile, stage, states, options)
    states.push(state)
    // The scope is needed for stages based on this one, checked or not.
    const quiet: Report = () => {}
    const isChecked = options.stages === undefined || options.stages.has(stage.index)
    if (isChecked) lintBasePlatform(stage, options, report)
    lintInstructions(stages, stage, state, { options, matcher, report: isChecked ? report : quiet })
  }
}

function startOf(dockerfile: Dockerfile, stage: ResolvedStage, states: readonly StageState[], options: Evaluation): StageState {
  if (stage.base.kind === 'stage') {
    const base = states[stage.base.index] as StageState
    return { scope: base.scope.child(), isKnown: base.isKnown, hasWorkdir: base.hasWorkdir, hasShell: base.hasShell }
  }
  const image = options.images?.get(stage.index)
  const { globals, buildArgs } = options
  return {
    scope: createScope({ globals, buildArgs, env: image?.env ?? [], escape: dockerfile.directives.escape }),
    isKnown: image !== undefined || stage.base.kind === 'scratch',
    hasWorkdir: false,
    hasShell: (image?.shell?.length ?? 0) > 0,
  }
}

function lintBasePlatform(stage: ResolvedStage, options: Evaluation, report: Report): void {
  const actual = options.images?.get(stage.index)?.platform
  if (actual === undefined || stage.base.kind !== 'image') return
  const expected = stage.platform ?? options.targetPlatform
  if (expected.os === actual.os && expected.architecture === actual.architecture) return
  report(
    'InvalidBaseImagePlatform',
    stage.stage.from,
    `base image ${stage.baseName} is for ${formatPlatform(actual)}, but the stage is built for ${formatPlatform(expected)}`,
  )
}

interface Walk {
  readonly options: Evaluation
  readonly matcher: IgnoreMatcher | undefined
  readonly report: Report
}

function lintInstructions(stages: readonly ResolvedStage[], stage: ResolvedStage, state: StageState, walk: Walk): void {
  const last = new Map<string, Instruction>()
  for (const { instruction } of stageInstructions(stages, stage.index, walk.options.triggers)) {
    const { kind } = instruction
    if (kind === 'CMD' || kind === 'ENTRYPOINT' || kind === 'HEALTHCHECK') {
      const earlier = last.get(kind)
      if (earlier !== undefined)
        walk.report('MultipleInstructionsDisallowed', earlier, `this ${kind} has no effect: a later one of the stage replaces it`)
      last.set(kind, instruction)
    }
    lintInstruction(instruction, state, walk)
    lintUndefined(instruction, state, walk.report)
  }
}

function lintInstruction(instruction: Instruction, state: StageState, walk: Walk): void {
  const { scope } = state
  const { report } = walk
  const at = (i: number): Span => instruction.wordSpans[i] ?? instruction.span
  switch (instruction.kind) {
    case 'ARG':
      for (const { key } of instruction.args) lintSecret('ARG', key, instruction, report)
      scope.declare(instruction)
      return
    case 'ENV':
    case 'LABEL': {
      const pairs = instruction.pairs.map(({ key, value }, i) => ({ key: scope.expand(key, at(i)), value: scope.expand(value, at(i)) }))
      if (instruction.pairs.some(({ legacy }) => legacy === true)) {
        report(
          'LegacyKeyValueFormat',
          instruction,
          `write ${instruction.kind} ${instruction.pairs[0]?.key}=VALUE instead of ${instruction.kind} ${instruction.pairs[0]?.key} VALUE`,
        )
      }
      if (instruction.kind === 'LABEL') return
      for (const { key, value } of pairs) {
        lintSecret('ENV', key, instruction, report)
        scope.set(key, value)
      }
      return
    }
    case 'COPY':
    case 'ADD':
      lintCopy(instruction, scope, walk)
      return
    case 'CMD':
    case 'ENTRYPOINT':
      if (instruction.command.form === 'shell' && !state.hasShell)
        report('JSONArgsRecommended', instruction, `write ${instruction.kind} in JSON form: a shell in between does not pass signals on`)
      return
    case 'SHELL':
      state.hasShell = true
      return
    case 'WORKDIR': {
      const path = scope.expand(instruction.path, at(0))
      if (!state.hasWorkdir && !/^(\/|[A-Za-z]:[\\/]|\\)/.test(path)) {
        report(
          'WorkdirRelativePath',
          instruction,
          `the relative WORKDIR ${JSON.stringify(path)} depends on the base image: begin with an absolute one`,
        )
      }
      state.hasWorkdir = true
      return
    }
    case 'EXPOSE':
      lintExpose(instruction, scope, report)
      return
    case 'VOLUME':
      instruction.paths.forEach((path, i) => scope.expand(path, at(i)))
      return
    case 'USER':
      scope.expand(instruction.user, at(0))
      return
    case 'STOPSIGNAL':
      scope.expand(instruction.signal, at(0))
      return
    case 'RUN':
    case 'HEALTHCHECK':
    case 'MAINTAINER':
    case 'ONBUILD':
    case 'FROM':
      return
    default:
      instruction satisfies never
  }
}

function lintCopy(instruction: InstructionOf<'COPY' | 'ADD'>, scope: Scope, { matcher, report }: Walk): void {
  const sources = instruction.sources.map((source, i) => ({
    path: scope.expand(source, instruction.wordSpans[i]),
    span: instruction.wordSpans[i] ?? instruction.span,
  }))
  scope.expand(instruction.destination, instruction.wordSpans.at(-1))
  for (const text of [instruction.chown, instruction.chmod, instruction.kind === 'ADD' ? instruction.checksum : undefined])
    if (text !== undefined) scope.expand(text, instruction.span)
  for (const heredoc of instruction.heredocs) if (heredoc.expand) scope.expandHeredoc(heredoc.content, instruction.span)
  if (matcher === undefined || (instruction.kind === 'COPY' && instruction.from !== undefined)) return
  for (const { path, span } of sources) {
    if (instruction.kind === 'ADD' && /^(https?|git|ssh):\/\/|^git@/.test(path)) continue
    const by = matcher.excludedBy(isRoot(path) ? 'anything' : path)
    if (by === undefined || (isRoot(path) && !['*', '**', '**/*'].includes(by.pattern))) continue
    report(
      'CopyIgnoredFile',
      { span, comments: instruction.comments },
      `${instruction.kind} of ${JSON.stringify(path)}, which .dockerignore leaves out (line ${by.line}: ${by.pattern})`,
    )
  }
}

/** The root of the context is never left out itself; only patterns that leave out all in it count. */
function isRoot(path: string): boolean {
  return /^[./]*$/.test(path)
}

function lintExpose(instruction: InstructionOf<'EXPOSE'>, scope: Scope, report: Report): void {
  instruction.ports.forEach((port, i) => {
    const span = instruction.wordSpans[i] ?? instruction.span
    for (const word of scope.expandWords(port, span)) {
      const { protocol, isMapping } = parseExposed(word)
      const place = { span, comments: instruction.comments }
      if (protocol !== protocol.toLowerCase())
        report('ExposeProtoCasing', place, `the protocol of ${JSON.stringify(word)} should be in lower case`)
      if (isMapping)
        report('ExposeInvalidFormat', place, `EXPOSE does not map ports: remove address and host port of ${JSON.stringify(word)}`)
    }
  })
}

const secretWords = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i
const harmlessWords = /(?:_|^)(?:public|file|version)(?:_|$)/i

function lintSecret(what: 'ARG' | 'ENV', key: string, instruction: Instruction, report: Report): void {
  if (!secretWords.test(key) || harmlessWords.test(key)) return
  report('SecretsUsedInArgOrEnv', instruction, `${what} ${JSON.stringify(key)} looks like a secret: use RUN --mount=type=secret`)
}

function lintUndefined(instruction: Instruction, { scope, isKnown }: StageState, report: Report): void {
  for (const name of scope.unset) {
    if (scope.isDeclared(name)) continue
    const near = suggest(name, scope.names())
    // A base image that is not known may well define it. One that is nearly called so was probably meant.
    if (!isKnown && near === undefined) continue
    report('UndefinedVar', instruction, `$${name} is not defined${near === undefined ? '' : ` (did you mean $${near}?)`}`)
  }
  scope.unset.clear()
}
