import type { Invocation } from '../command.ts'
import type { pushFlags } from './commands.ts'
import { openProject, registryWords, runCommand } from './project.ts'

export async function run(invocation: Invocation<typeof pushFlags>): Promise<void> {
  const { flags, args, report } = invocation
  const { project } = await openProject(invocation, args)
  for (const name of args.length > 0 ? args : Object.keys(project.services)) {
    const { image, build } = project.services[name]!
    if (build === undefined || image === undefined) continue
    try {
      await runCommand(invocation, 'push', [...registryWords(flags), ...(flags.quiet ? ['--quiet'] : []), image])
    } catch (error) {
      if (!flags['ignore-push-failures']) throw error
      report.error(error)
    }
  }
}
