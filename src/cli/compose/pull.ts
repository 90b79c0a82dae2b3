import { withNeeded } from '#compose/order.ts'
import type { Invocation } from '../command.ts'
import type { pullFlags } from './commands.ts'
import { openProject, registryWords, runCommand } from './project.ts'

export async function run(invocation: Invocation<typeof pullFlags>): Promise<number> {
  const { flags, args, report } = invocation
  const loaded = await openProject(invocation, args)
  const { services } = loaded.project
  const chosen = args.length === 0 ? Object.keys(services) : flags['include-deps'] ? [...withNeeded(services, args)] : args
  const done = new Set<string>()
  let status = 0
  for (const name of chosen) {
    const service = services[name]!
    const { image, platform = '' } = service
    if (image === undefined || (flags['ignore-buildable'] && service.build !== undefined) || done.has(`${image} ${platform}`)) continue
    done.add(`${image} ${platform}`)
    try {
      await runCommand(invocation, 'pull', [
        ...registryWords(flags),
        ...(flags.quiet ? ['--quiet'] : []),
        ...(platform === '' ? [] : [`--platform=${platform}`]),
        ...(flags.policy === 'missing' ? ['--policy=missing'] : []),
        image,
      ])
    } catch (error) {
      // What can be built need not be anywhere.
      if (!flags['ignore-pull-failures'] && service.build === undefined) throw error
      report.error(error)
      status = service.build === undefined ? 1 : status
    }
  }
  return flags['ignore-pull-failures'] ? 0 : status
}
