import type { InstructionOf } from '#dockerfile/instruction.ts'
import type { CopyOp, CopySource, Step } from './step.ts'
import { posix } from 'node:path'
import { StaveError } from '#error.ts'
import { redactUrl } from '#text/url.ts'
import { parseChmod, parseChown } from '#dockerfile/values.ts'
import { originOf } from './planner.ts'
import { addStep, contextStep, push, sourceStep, type Draft } from './draft.ts'
import { fileNameOf, isGitUrl, isHttpUrl, parseGitUrl } from './source-url.ts'

type Copy = InstructionOf<'COPY'> | InstructionOf<'ADD'>

/** COPY and ADD: a step that places files of a context, a stage, an image or the network. @see builder reference 1.6 */
export function planCopy(draft: Draft, instruction: Copy): void {
  const { scope } = draft
  const { span } = instruction
  const sources = instruction.sources.map((source) => scope.expand(source, span))
  const written = scope.expand(instruction.destination, span)
  const chown = ownerOf(draft, instruction)
  const chmod = instruction.chmod === undefined ? undefined : scope.expand(instruction.chmod, span)
  const checksum = instruction.kind === 'ADD' ? checksumOf(draft, instruction) : undefined
  check(instruction, sources, { chown, chmod, checksum })
  if (sources.includes('')) warnOfEmptySource(draft, instruction)

  const inputs: Step[] = []
  const items: CopySource[] = []
  const input = (step: Step): number => {
    const known = inputs.indexOf(step)
    return known >= 0 ? known : inputs.push(step) - 1
  }
  const local = sources.filter((source) => instruction.kind === 'COPY' || !isRemote(source))
  if (local.length > 0) {
    const from = instruction.kind === 'COPY' ? instruction.from : undefined
    const step =
      from === undefined
        ? contextStep(draft.planner)
        : sourceStep(draft.planner, originOf(draft.planner, draft.stage, from, instruction), draft.stage, span)
    const isContext = step.op.kind === 'local' || step.op.kind === 'git'
    items.push({
      kind: 'select',
      input: input(step),
      sources: local.map((source) => source || '.'),
      ...(instruction.exclude.length > 0 ? { exclude: instruction.exclude } : {}),
      ...(instruction.kind === 'COPY' && instruction.parents ? { parents: true } : {}),
      ...(isContext ? { resetOwner: true, ...draft.planner.options.modes } : {}),
      ...(instruction.kind === 'ADD' && instruction.unpack !== false ? { unpack: true } : {}),
    })
  }
  if (instruction.kind === 'ADD') for (const source of sources.filter(isRemote)) items.push(remote(draft, instruction, source, input))
  for (const heredoc of instruction.heredocs) {
    const content = heredoc.expand ? scope.expandHeredoc(heredoc.content, span) : heredoc.content
    items.push({ kind: 'inline', name: heredoc.name, content })
  }
  const op: CopyOp = {
    kind: 'copy',
    items,
    to: destination(draft.config.WorkingDir ?? '/', written),
    ...(chown === undefined || chown === '' ? {} : { chown }),
    ...(chmod === undefined || chmod === '' ? {} : { chmod }),
    // A linked layer would give that owner and mode to directories too that are there already, which it cannot see.
    ...(instruction.link && !chown && !chmod ? { link: true } : {}),
    ...(instruction.kind === 'COPY' && instruction.parents ? { parents: true } : {}),
  }
  push(draft, instruction, createdBy(instruction, sources, written, chown, chmod), op, inputs)
}

interface Flags {
  readonly chown: string | undefined
  readonly chmod: string | undefined
  readonly checksum: string | undefined
}

/** `--chown=$user:$group` of which nothing is left is root, as BuildKit has it. */
function ownerOf({ scope, planner }: Draft, { kind, chown, span }: Copy): string | undefined {
  const owner = chown === undefined ? undefined : scope.expand(chown, span)
  if (owner !== ':') return owner
  const hint = 'Give the variables values.'
  planner.warnings.push({ message: `${kind} --chown=${chown} is root: it is empty after expansion`, span, hint })
  return '0:0'
}

/** One that is empty after expansion asks for nothing. */
function checksumOf({ scope }: Draft, { checksum, span }: InstructionOf<'ADD'>): string | undefined {
  return checksum === undefined ? undefined : scope.expand(checksum, span) || undefined
}

/** An empty source is the directory that the others are in: all of it. So it is in BuildKit, where nobody is told. */
function warnOfEmptySource({ planner }: Draft, { kind, span }: Copy): void {
  planner.warnings.push({
    message: `${kind} takes everything: a source is empty after expansion`,
    span,
    hint: 'Give the variable a value, or write "." if all is meant.',
  })
}

// Whether several sources have a directory to go to is seen where the tree is seen: in the runner.
function check(instruction: Copy, sources: readonly string[], { chown, chmod, checksum }: Flags): void {
  const { span, kind } = instruction
  const fail = (message: string, hint?: string): never => {
    throw new StaveError('dockerfile', message, { span, ...(hint !== undefined && { hint }) })
  }
  const remotes = sources.filter(isRemote)
  if (kind === 'COPY' && remotes.length > 0)
    fail(`cannot COPY ${redactUrl(remotes[0]!)}: COPY takes no URL`, 'Use ADD for what comes from the network.')
  if (
    instruction.kind === 'ADD' &&
    checksum !== undefined &&
    (remotes.length !== 1 || sources.length !== 1 || instruction.heredocs.length > 0)
  )
    fail('cannot use ADD --checksum: it is for exactly one source that is a URL or a git repository')
  if (chmod !== undefined && chmod !== '') withSpan(() => parseChmod(chmod), instruction)
  if (chown !== undefined && chown !== '') withSpan(() => parseChown(chown), instruction)
}

function withSpan(parse: () => unknown, instruction: Copy): void {
  try {
    parse()
  } catch (error) {
    throw error instanceof StaveError ? error.with({ code: 'dockerfile', exitCode: 1, span: error.span ?? instruction.span }) : error
  }
}

function isRemote(source: string): boolean {
  return isHttpUrl(source) || isGitUrl(source)
}

function remote(draft: Draft, instruction: InstructionOf<'ADD'>, url: string, input: (step: Step) => number): CopySource {
  const at = {
    title: `ADD ${redactUrl(url)}`,
    span: instruction.span,
    stage: draft.stage.stage.name ?? `${draft.stage.index}`,
    useCache: draft.useCache,
  }
  const foreign = draft.planner.foreign.has(instruction) ? { isForeign: true as const } : {}
  const expected = checksumOf(draft, instruction)
  const checksum = expected === undefined ? {} : { checksum: expected }
  if (isGitUrl(url)) {
    withSpan(() => checkAgreement(url, instruction.keepGitDir, checksum.checksum), instruction)
    const keep = instruction.keepGitDir === undefined ? {} : { keepGitDir: instruction.keepGitDir }
    return {
      kind: 'select',
      input: input(addStep(draft.planner, { kind: 'git', url, ...keep, ...checksum, ...foreign }, at)),
      sources: ['.'],
      resetOwner: true,
    }
  }
  const step = addStep(draft.planner, { kind: 'fetch', url, ...checksum, ...foreign }, at)
  return { kind: 'file', input: input(step), name: fileNameOf(url), ...(instruction.unpack === true ? { unpack: true } : {}) }
}

/** What a flag and the query of a URL both say must be the same. */
function checkAgreement(url: string, keepGitDir: boolean | undefined, checksum: string | undefined): void {
  const said = parseGitUrl(url)
  const differ = (one: unknown, other: unknown): boolean => one !== undefined && other !== undefined && one !== other
  const name = differ(keepGitDir, said.keepGitDir) ? 'keep-git-dir' : differ(checksum, said.checksum) ? 'checksum' : undefined
  if (name !== undefined) throw new StaveError('dockerfile', `cannot ADD ${redactUrl(url)}: --${name} and the ${name} of the URL differ`)
}

/** Absolute and clean, relative to the working directory; a trailing slash stays. */
function destination(workdir: string, written: string): string {
  const path = posix.resolve('/', workdir, written)
  return path === '/' || !isDirectory(written) ? path : `${path}/`
}

function isDirectory(written: string): boolean {
  return written === '' || written === '.' || written === '..' || /\/\.{0,2}$/.test(written)
}

/** As BuildKit writes it, with these three flags and no others; but who made it is said as it is. */
function createdBy(
  instruction: Copy,
  sources: readonly string[],
  written: string,
  chown: string | undefined,
  chmod: string | undefined,
): string {
  const words = [
    ...(instruction.kind === 'COPY' && instruction.parents ? ['--parents'] : []),
    ...(chown ? [`--chown=${chown}`] : []),
    ...(chmod ? [`--chmod=${chmod}`] : []),
    ...sources.map(redactUrl),
    ...instruction.heredocs.map(({ name }) => `<<${name}`),
    written,
  ]
  return `${instruction.kind} ${words.join(' ')} # stave`
}
