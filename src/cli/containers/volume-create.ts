import { createVolume } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { openSession } from '../session.ts'
import type { volumeCreateFlags } from './volume-commands.ts'

export async function run({ flags, args, settings, report }: Invocation<typeof volumeCreateFlags>): Promise<void> {
  await using session = await openSession(settings)
  const volume = createVolume(session.store, { ...(args[0] !== undefined && { name: args[0] }), labels: keyValues(flags.label, '--label') })
  report.print(volume.name)
}
