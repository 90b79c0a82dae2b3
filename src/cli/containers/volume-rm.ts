import { isVolumeUsed, listVolumes, removeVolume } from '#container/volume.ts'
import { hasCode, StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { volumeRmFlags } from './volume-commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof volumeRmFlags>): Promise<number> {
  await using session = await openSession(settings)
  let status = 0
  for (const name of chosen(session.store, args, flags.all ?? false)) {
    try {
      await removeVolume(cx, session.store, name)
      report.print(name)
    } catch (error) {
      if (flags.force && hasCode(error, 'not-found')) continue
      report.error(error)
      status = 1
    }
  }
  return status
}

function chosen(store: LocalStore, names: readonly string[], all: boolean): readonly string[] {
  if (all === names.length > 0) {
    throw new StaveError('usage', all ? 'volumes are named, and chosen by --all as well' : 'no volume is named', {
      hint: 'Name some, or use --all.',
    })
  }
  if (!all) return names
  return listVolumes(store)
    .map(({ name }) => name)
    .filter((name) => !isVolumeUsed(store, name))
}
