import type { Span } from '#error.ts'
import * as limit from '#limit.ts'
import { detectDirectives } from './directives.ts'
import { fault } from './fault.ts'
import { readInstruction, splitInstruction, takesHeredocs, withHeredocs } from './grammar.ts'
import { heredocsOf, stripTabs } from './heredoc.ts'
import type { Dockerfile, Escape, Heredoc, Instruction, InstructionOf, Stage } from './instruction.ts'
import type { LineReader, LogicalLine } from './lines.ts'
import { readLines, spanOf } from './lines.ts'
import { trimSpace } from './white-space.ts'

/**
 * Parses a Dockerfile, as strictly as BuildKit does; nothing is expanded.
 *
 * @param options.file the name that spans carry
 * @throws StaveError `dockerfile` with the place of the mistake, and a hint where the right thing can be guessed
 */
export function parseDockerfile(text: string, options: { readonly file: string }): Dockerfile {
  const { file } = options
  const start: Span = { file, line: 1, column: 1, endLine: 1, endColumn: 1 }
  if (text.length > limit.dockerfileBytes) throw fault(`the file is larger than ${limit.dockerfileBytes} bytes`, start)
  const reader = readLines(file, text)
  const globals: InstructionOf<'ARG'>[] = []
  const stages: (Stage & { readonly instructions: Instruction[] })[] = []
  const emptyContinuations: number[] = []
  let count = 0
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    count++
    for (const empty of line.emptyLines) emptyContinuations.push(empty)
    const instruction = instructionOf(reader, line)
    const stage = stages.at(-1)
    if (instruction.kind === 'FROM') {
      stages.push({
        index: stages.length,
        ...(instruction.name !== undefined && { name: instruction.name }),
        from: instruction,
        instructions: [],
      })
    } else if (stage !== undefined) stage.instructions.push(instruction)
    else if (instruction.kind === 'ARG') globals.push(instruction)
    else {
      throw fault(
        `no build stage in current context: ${instruction.keyword} stands before the first FROM`,
        instruction.span,
        'Only ARG may stand before FROM.',
      )
    }
  }
  if (count === 0) throw fault('the file has no instructions', start, 'A Dockerfile begins with FROM.')
  if (stages.length === 0) throw fault('the file has no build stage', start, 'Add a FROM instruction.')
  return {
    file,
    text,
    directives: { ...detectDirectives(text), escape: reader.escape },
    globals,
    stages,
    emptyContinuations,
  }
}

/**
 * Parses one instruction that is in no file: an ONBUILD trigger out of an image's config.
 *
 * @param options.span where to point for it: the FROM that names the image
 */
export function parseInstruction(
  text: string,
  options: { readonly file: string; readonly escape?: Escape; readonly span?: Span },
): Instruction {
  const span = options.span ?? { file: options.file, line: 1, column: 1, endLine: 1, endColumn: 1 }
  const reader = readLines(options.file, text, { escape: options.escape ?? '\\', span })
  const line = reader.next()
  const instruction = line === undefined ? undefined : instructionOf(reader, line)
  if (instruction === undefined || reader.next() !== undefined)
    throw fault(`an ONBUILD trigger must be a single instruction, not ${JSON.stringify(text.slice(0, 60))}`, span)
  return instruction
}

function instructionOf(reader: LineReader, line: LogicalLine): Instruction {
  const { escape } = reader
  const parts = splitInstruction(line, escape)
  const heredocs: Heredoc[] = []
  let endLine = line.lastLine
  let endColumn = line.lastColumn
  if (line.text.includes('<<') && takesHeredocs(line, parts, escape)) {
    for (const word of heredocsOf(line.text)) {
      const found = reader.heredoc(word.name, word.chomp)
      if (found === undefined) throw unterminated(line, word.name)
      endLine = found.endLine
      endColumn = found.endColumn
      heredocs.push({ ...word, raw: found.body, content: word.chomp ? stripTabs(found.body) : found.body })
    }
  }
  const first = spanOf(line, 0, Math.max(line.text.length, 1))
  const span = line.fixedSpan ?? { file: line.file, line: first.line, column: first.column, endLine, endColumn }
  return readInstruction({ line, escape, heredocs, span }, parts, withHeredocs(trimSpace(line.text), heredocs))
}

function unterminated(line: LogicalLine, name: string): Error {
  const at = Math.max(line.text.lastIndexOf('<<'), 0)
  return fault(
    `unterminated heredoc ${JSON.stringify(name)}`,
    spanOf(line, at, line.text.length),
    `The heredoc ends at a line that holds ${name} and nothing else, not even a blank.`,
  )
}
