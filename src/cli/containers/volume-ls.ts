import { listVolumes } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import { printList } from '../output/table.ts'
import type { volumeListFlags } from './volume-commands.ts'

export async function run({ flags, settings, report }: Invocation<typeof volumeListFlags>): Promise<void> {
  await using session = await openSession(settings)
  const volumes = listVolumes(session.store)
  if (flags.quiet) return volumes.forEach(({ name }) => report.print(name))
  printList(
    report,
    volumes,
    [
      { heading: 'DRIVER', value: () => 'local' },
      { heading: 'VOLUME NAME', value: ({ name }) => name },
    ],
    (volume) => ({ Name: volume.name, Driver: 'local', Labels: volume.labels }),
    flags,
  )
}
