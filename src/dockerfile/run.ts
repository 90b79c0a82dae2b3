import { heredocWord } from './heredoc.ts'
import { withHeredocs } from './grammar.ts'
import type { CommandLine, InstructionOf } from './instruction.ts'

/** What a RUN starts. */
export interface RunCommand {
  readonly args: readonly string[]
  /** A heredoc with its own interpreter (`#!`): to be put at `/dev/pipes/<name>`, mode 0755, read-only. */
  readonly script?: { readonly name: string; readonly content: string }
}

/** Where a heredoc that brings its own interpreter is mounted. */
const scriptDirectory = '/dev/pipes'

/**
 * What a RUN starts, with heredocs (reference: Dockerfile, "Here-Documents").
 *
 * If the whole command is one heredoc, its body is what the shell runs, so that it works with shells that have no
 * heredocs; a body that begins with `#!` is executed itself. With anything else on the line, the shell gets
 * line and bodies, and does the heredocs itself.
 */
export function runCommand(run: InstructionOf<'RUN'>, shell: readonly string[]): RunCommand {
  const { command, heredocs } = run
  const [only] = heredocs
  if (command.form === 'exec' || only === undefined) return { args: shellCommand(command, shell) }
  const text = command.args.join(' ')
  if (heredocWord(text) === undefined) return { args: [...shell, withHeredocs(text, heredocs)] }
  if (!only.content.startsWith('#!')) return { args: [...shell, only.content] }
  return { args: [`${scriptDirectory}/${only.name}`], script: { name: only.name, content: only.content } }
}

/** What CMD, ENTRYPOINT and RUN start: the words of the exec form, or the text as one argument of the shell. */
export function shellCommand(command: CommandLine, shell: readonly string[]): string[] {
  return command.form === 'exec' ? [...command.args] : [...shell, command.args.join(' ')]
}
