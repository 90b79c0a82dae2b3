import { portsOf } from '#container/port.ts'
import { formatHost } from '#network/port.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { portFlags } from './commands.ts'
import { memberOf, openNamed } from './project.ts'

export async function run(invocation: Invocation<typeof portFlags>): Promise<void> {
  const { flags, args, settings, report } = invocation
  const [service = '', port = ''] = args
  await using session = await openSession(settings)
  const { name } = await openNamed(invocation)
  for (const found of portsOf(memberOf(session.store, name, service, flags.index), `${port}/${flags.protocol ?? 'tcp'}`))
    report.print(formatHost(found))
}
