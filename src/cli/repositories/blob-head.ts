import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { openBlobPlace } from './blob.ts'
import type { blobFlags } from './commands.ts'

/** Prints the size of a blob; that there is none is a failure. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof blobFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { descriptor } = await openBlobPlace(cx, places, args)
  if (flags.json) return report.json({ digest: descriptor.digest, size: descriptor.size })
  report.print(String(descriptor.size))
}
