import { StaveError } from '#error.ts'
import { suggest } from '#text/suggest.ts'
import type { Command, Invocation } from '../command.ts'
import { commands, findCommand, lastWord } from '../commands.ts'
import { errorCatalogue } from '../output/error-catalogue.ts'
import { groupHelp, helpText, overview } from '../help.ts'
import { globalFlags } from '../program-flags.ts'

export async function run({ args, report }: Invocation): Promise<void> {
  const [name, sub] = args
  if (name === undefined) return report.write(overview(commands, globalFlags))
  if (name === 'errors') {
    for (const [code, meaning] of Object.entries(errorCatalogue)) report.print(`${code.padEnd(24)}${meaning}`)
    return
  }
  const group = find(commands, name)
  if (!group.commands) return report.write(helpText(group))
  if (sub === undefined) return report.write(groupHelp(group))
  report.write(helpText(find(group.commands, sub)))
}

function find(list: readonly Command[], name: string): Command {
  const found = findCommand(list, name)
  if (found) return found
  const near = suggest(
    name,
    list.map((command) => lastWord(command.name)),
  )
  throw new StaveError('usage', `there is no help for ${name}`, { hint: near ? `Did you mean stave help ${near}?` : 'See stave --help.' })
}
