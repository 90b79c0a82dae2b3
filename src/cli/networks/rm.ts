import { removeNetwork } from '#container/networks.ts'
import { hasCode } from '#error.ts'
import { findNetwork } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { networkRmFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof networkRmFlags>): Promise<number> {
  await using session = await openSession(settings)
  let status = 0
  for (const name of args) {
    try {
      await removeNetwork(cx, session.store, findNetwork(session.store.database, name), { force: flags.force ?? false })
      report.print(name)
    } catch (error) {
      if (flags.force && hasCode(error, 'not-found')) continue
      report.error(error)
      // Podman's: 2 for one that is in use.
      status = hasCode(error, 'in-use') ? 2 : 1
    }
  }
  return status
}
