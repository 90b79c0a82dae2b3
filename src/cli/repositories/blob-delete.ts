import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { blobReference } from './blob.ts'
import type { blobFlags } from './commands.ts'

/** Removes a blob from a repository. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof blobFlags>): Promise<void> {
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { reference, digest } = blobReference(args)
  const registry = await places.registry(reference)
  await registry.deleteBlob(cx, digest)
  if (flags.json) report.json({ digest })
}
