import type { Command } from './command.ts'
import { buildCommands } from './table/build.ts'
import { containerCommands } from './table/containers.ts'
import { copyingCommands } from './table/copying.ts'
import { imageCommands } from './table/images.ts'
import { registryCommands } from './table/registries.ts'
import { systemCommands } from './table/system.ts'

/** Every command, as data: parser, help, completion and the manual read this one table. */
export const commands: readonly Command[] = [
  ...buildCommands,
  ...imageCommands,
  ...registryCommands,
  ...containerCommands,
  ...copyingCommands,
  ...systemCommands,
]
