import type { Command } from './command.ts'
import { artifactCommands } from './artifacts/commands.ts'
import { buildCommands } from './build/commands.ts'
import { composeCommands } from './compose/commands.ts'
import { containerCommands } from './containers/commands.ts'
import { copyingCommands } from './containers/copying-commands.ts'
import { volumeCommands } from './containers/volume-commands.ts'
import { imageCommands } from './images/commands.ts'
import { indexCommands } from './images/index-commands.ts'
import { imageVerbs } from './images/verb-commands.ts'
import { networkCommands } from './networks/commands.ts'
import { registryCommands } from './registries/commands.ts'
import { repositoryCommands } from './repositories/commands.ts'
import { systemCommands } from './system/commands.ts'
import { trustCommands } from './trust/commands.ts'

/** Every command, as data: parser, help, completion and the manual read this one table. */
export const commands: readonly Command[] = [
  ...buildCommands,
  ...imageCommands,
  ...imageVerbs,
  ...indexCommands,
  ...registryCommands,
  ...repositoryCommands,
  ...artifactCommands,
  ...trustCommands,
  ...containerCommands,
  ...volumeCommands,
  ...networkCommands,
  ...composeCommands,
  ...copyingCommands,
  ...systemCommands,
]

/**
 * The command that a word means, by name or alias. The name of a sub-command is its whole path (`volume ls`), of which
 * the word is the last part.
 */
export function findCommand(list: readonly Command[], word: string): Command | undefined {
  return list.find(({ name, aliases }) => lastWord(name) === word || aliases?.includes(word))
}

/** A command by its whole name: `build`, `volume ls`. */
export function commandNamed(name: string): Command | undefined {
  let found: Command | undefined
  let list = commands
  for (const word of name.split(' ')) {
    found = findCommand(list, word)
    list = found?.commands ?? []
  }
  return found
}

export function lastWord(name: string): string {
  return name.slice(name.lastIndexOf(' ') + 1)
}
