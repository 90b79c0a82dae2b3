import { findContainer } from '#container/container.ts'
import { connectNetwork } from '#container/networks.ts'
import { parseNetworks } from '#network/choice.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { networkConnectFlags } from './commands.ts'

export async function run({ cx, flags, args, settings }: Invocation<typeof networkConnectFlags>): Promise<void> {
  await using session = await openSession(settings)
  const [name = '', container = ''] = args
  const { ip, ip6, 'mac-address': mac } = flags
  const choice = parseNetworks([name], {
    aliases: flags.alias,
    ...(ip !== undefined && { ip }),
    ...(ip6 !== undefined && { ip6 }),
    ...(mac !== undefined && { mac }),
  })
  const [place] = choice.mode === 'networks' ? choice.networks : []
  if (place === undefined) throw new StaveError('usage', `${name} is not the name of a network`, { hint: 'stave network ls lists them.' })
  await connectNetwork(cx, session.store, findContainer(session.store, container), place)
}
