import { createNetwork, getNetwork } from '#store/networks.ts'
import type { Invocation } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { openSession } from '../session.ts'
import type { networkCreateFlags } from './commands.ts'

export async function run({ flags, args, settings, report }: Invocation<typeof networkCreateFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { database } = session.store
  const [name = ''] = args
  const there = flags.ignore ? getNetwork(database, name) : undefined
  const network =
    there ??
    createNetwork(database, {
      name,
      ...(flags.driver !== undefined && { driver: flags.driver }),
      subnets: flags.subnet,
      gateways: flags.gateway,
      ranges: flags['ip-range'],
      internal: flags.internal ?? false,
      ipv6: flags.ipv6 ?? false,
      noNames: flags['disable-dns'] ?? false,
      labels: keyValues(flags.label, '--label'),
      options: keyValues(flags.opt, '--opt'),
    })
  report.print(network.id)
}
