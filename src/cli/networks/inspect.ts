import { inspectNetwork } from '#container/networks.ts'
import { findNetwork } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { formatFlags } from '../shared-flags.ts'
import { printDocuments } from '../output/table.ts'

export async function run({ flags, args, settings, report }: Invocation<Pick<typeof formatFlags, 'format'>>): Promise<number> {
  await using session = await openSession(settings)
  const found: object[] = []
  let status = 0
  for (const name of args) {
    try {
      found.push(inspectNetwork(session.store, findNetwork(session.store.database, name)))
    } catch (error) {
      report.error(error)
      status = 1
    }
  }
  printDocuments(report, found, flags.format)
  return status
}
