import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { commands } from '../commands.ts'
import { completionScript } from '../complete.ts'

export async function run({ args, report }: Invocation): Promise<void> {
  const shell = args[0]
  if (shell !== 'bash' && shell !== 'zsh' && shell !== 'fish')
    throw new StaveError('usage', `cannot complete in ${shell}`, { hint: 'There are scripts for bash, zsh and fish.' })
  report.write(completionScript(shell, commands))
}
