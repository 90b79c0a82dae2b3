import type { Dockerfile, Heredoc, Instruction } from './instruction.ts'
import * as limit from '#limit.ts'
import { isSpace, utf8Length } from './white-space.ts'

/**
 * The file in canonical form: one instruction a line, comments above it, directives at the top. Parsing the result gives
 * the same instructions.
 */
export function printDockerfile(dockerfile: Dockerfile): string {
  const { directives, globals, stages } = dockerfile
  const head: string[] = []
  if (directives.syntax !== undefined) head.push(`# syntax=${directives.syntax}`)
  if (directives.escape !== '\\') head.push(`# escape=${directives.escape}`)
  if (directives.check !== undefined) head.push(`# check=${directives.check}`)
  const body: string[] = []
  for (const instruction of globals) printInstruction(instruction, directives.escape, body)
  for (const { from, instructions } of stages) {
    if (body.length > 0) body.push('')
    printInstruction(from, directives.escape, body)
    for (const instruction of instructions) printInstruction(instruction, directives.escape, body)
  }
  // An empty line ends the directives, so that no comment is taken for one.
  const isCommentFirst = body[0]?.startsWith('#') === true
  return [...head, ...(head.length > 0 || isCommentFirst ? [''] : []), ...body, ''].join('\n')
}

function printInstruction(instruction: Instruction, escape: string, out: string[]): void {
  for (const comment of instruction.comments) out.push(utf8Length(comment) < limit.lineBytes - 1 ? `# ${comment}` : `#${comment}`)
  const [line = ''] = instruction.text.split('\n', 1)
  for (const part of splitLong(line, escape)) out.push(part)
  const rest = instruction.text.slice(line.length)
  if (rest !== '') out.push(rest.slice(1))
}

/** A logical line as one or more physical ones. */
function splitLong(line: string, escape: string): string[] {
  const parts: string[] = []
  let rest = line
  while (utf8Length(rest, limit.lineBytes) >= limit.lineBytes) {
    const cut = boundary(rest, escape)
    if (cut === 0) break
    parts.push(rest.slice(0, cut) + escape)
    rest = rest.slice(cut)
  }
  parts.push(isContinued(rest, escape) ? `${rest}\v` : rest)
  return parts
}

/** Where a line can be broken: not after an escape, and not before what would be a comment or nothing. */
function boundary(text: string, escape: string): number {
  let cut = 0
  let bytes = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    bytes += unit < 0x80 ? 1 : 3
    if (bytes > limit.lineBytes - 2) return cut
    const next = text[at + 1]
    if (text[at] === escape || next === undefined || next === '#' || isSpace(text.charCodeAt(at + 1)) || isSpace(unit)) continue
    if ((unit & 0xfc00) !== 0xd800) cut = at + 1
  }
  return cut
}

/** Would this end be taken for a continuation? An escape that was followed by other white space than blanks and tabs. */
function isContinued(line: string, escape: string): boolean {
  return line.endsWith(escape) && !line.endsWith(escape + escape)
}

/** An instruction as `--print=instructions` shows it. */
export interface PrintedInstruction {
  readonly instruction: string
  readonly line: number
  readonly endLine: number
  readonly flags: readonly { readonly name: string; readonly value: string }[]
  /** Of instructions that run something. */
  readonly form?: 'exec' | 'shell'
  readonly arguments: readonly string[]
  readonly heredocs?: readonly { readonly name: string; readonly content: string; readonly expand: boolean }[]
  readonly trigger?: PrintedInstruction
  readonly text: string
}

export interface PrintedDockerfile {
  readonly file: string
  readonly directives: { readonly syntax?: string; readonly escape: string; readonly check?: string }
  readonly globals: readonly PrintedInstruction[]
  readonly stages: readonly { readonly index: number; readonly name?: string; readonly instructions: readonly PrintedInstruction[] }[]
}

/** What was parsed, for JSON. */
export function describeDockerfile({ file, directives, globals, stages }: Dockerfile): PrintedDockerfile {
  return {
    file,
    directives,
    globals: globals.map(describeInstruction),
    stages: stages.map(({ index, name, from, instructions }) => {
      const all = [from, ...instructions].map(describeInstruction)
      return name === undefined ? { index, instructions: all } : { index, name, instructions: all }
    }),
  }
}

function describeInstruction(instruction: Instruction): PrintedInstruction {
  return {
    instruction: instruction.keyword,
    line: instruction.span.line,
    endLine: instruction.span.endLine,
    flags: instruction.flags.map(({ name, value }) => ({ name, value })),
    ...formOf(instruction),
    arguments: argumentsOf(instruction),
    ...('heredocs' in instruction && instruction.heredocs.length > 0 ? { heredocs: instruction.heredocs.map(describeHeredoc) } : {}),
    ...(instruction.kind === 'ONBUILD' ? { trigger: describeInstruction(instruction.trigger) } : {}),
    text: instruction.text,
  }
}

function describeHeredoc({ name, content, expand }: Heredoc): { name: string; content: string; expand: boolean } {
  return { name, content, expand }
}

function formOf(instruction: Instruction): { form?: 'exec' | 'shell' } {
  if ('command' in instruction && 'form' in instruction.command) return { form: instruction.command.form }
  if (instruction.kind === 'HEALTHCHECK' && instruction.test[0] !== 'NONE')
    return { form: instruction.test[0] === 'CMD' ? 'exec' : 'shell' }
  return {}
}

function argumentsOf(instruction: Instruction): readonly string[] {
  switch (instruction.kind) {
    case 'FROM':
      return instruction.name === undefined ? [instruction.image] : [instruction.image, 'AS', instruction.name]
    case 'ARG':
      return instruction.args.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`))
    case 'ENV':
    case 'LABEL':
      return instruction.pairs.map(({ key, value }) => `${key}=${value}`)
    case 'RUN':
    case 'CMD':
    case 'ENTRYPOINT':
      return instruction.command.args
    case 'COPY':
    case 'ADD':
      return [...instruction.sources, instruction.destination]
    case 'SHELL':
      return instruction.command
    case 'WORKDIR':
      return [instruction.path]
    case 'USER':
      return [instruction.user]
    case 'EXPOSE':
      return instruction.ports
    case 'VOLUME':
      return instruction.paths
    case 'STOPSIGNAL':
      return [instruction.signal]
    case 'HEALTHCHECK':
      return instruction.test
    case 'ONBUILD':
      return [instruction.triggerText]
    case 'MAINTAINER':
      return [instruction.name]
    default:
      return instruction satisfies never
  }
}
