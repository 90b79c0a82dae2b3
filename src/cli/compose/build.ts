import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { buildFlags } from './commands.ts'
import { buildServices } from './images.ts'
import { imageOf, openProject, registryWords, runCommand } from './project.ts'

export async function run(invocation: Invocation<typeof buildFlags>): Promise<void> {
  const { flags, args } = invocation
  await using session = await openSession(invocation.settings)
  const loaded = await openProject(invocation, args)
  const { services } = loaded.project
  const names = args.length > 0 ? args : Object.keys(services)
  await buildServices(invocation as never, session, loaded, names, [
    ...flags['build-arg'].map((word) => `--build-arg=${word}`),
    ...(flags['no-cache'] ? ['--no-cache'] : []),
    ...(flags.pull ? ['--pull'] : []),
    ...(flags.quiet ? ['--quiet'] : []),
  ])
  if (!flags.push) return
  for (const name of names) {
    const service = services[name]!
    if (service.build !== undefined) await runCommand(invocation, 'push', [...registryWords(flags), imageOf(loaded.project, name, service)])
  }
}
