import { getVolume } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  return getVolume(session.store, args[0]!) === undefined ? 1 : 0
}
