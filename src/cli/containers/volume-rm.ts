import { removeVolume } from '#container/volume.ts'
import { hasCode } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { volumeRmFlags } from './volume-commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof volumeRmFlags>): Promise<number> {
  await using session = await openSession(settings)
  let status = 0
  for (const name of args) {
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
