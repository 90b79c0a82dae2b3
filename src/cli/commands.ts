import type { Command } from './command.ts'
import { buildCommands } from './build/commands.ts'
import { containerCommands } from './containers/commands.ts'
import { copyingCommands } from './containers/copying-commands.ts'
import { imageCommands } from './images/commands.ts'
import { registryCommands } from './registries/commands.ts'
import { systemCommands } from './system/commands.ts'

/** Every command, as data: parser, help, completion and the manual read this one table. */
export const commands: readonly Command[] = [
  ...buildCommands,
  ...imageCommands,
  ...registryCommands,
  ...containerCommands,
  ...copyingCommands,
  ...systemCommands,
]
