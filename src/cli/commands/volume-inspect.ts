import { findVolume, volumePath } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings, report }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  report.json(
    args.map((name) => {
      const volume = findVolume(session.store, name)
      return {
        Name: volume.name,
        Driver: 'local',
        Mountpoint: volumePath(session.store, volume.name),
        CreatedAt: volume.createdAt,
        Labels: volume.labels,
        Scope: 'local',
      }
    }),
  )
}
