import { pruneVolumes } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { volumePruneFlags } from './volume-commands.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof volumePruneFlags>): Promise<void> {
  await using session = await openSession(settings)
  for (const name of await pruneVolumes(cx, session.store, { all: flags.all ?? false })) report.print(name)
}
