import { StaveError } from '#error.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { retriedFlags } from './commands.ts'

/** Deletes the manifest that a name stands for; as skopeo, by its digest, so with all its tags. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof retriedFlags>): Promise<void> {
  const location = parseLocation(args[0]!)
  if (location.transport !== 'docker') {
    throw new StaveError('usage', `cannot delete ${args[0]}: it is not in a registry`, {
      hint: 'Write docker://NAME; for the store there is stave rmi.',
    })
  }
  await using places = createPlaces(settings, { ...flags, retry: flags['retry-times'] }, () => openSession(settings))
  const reference = parseReference(location.name)
  const remote = await places.registry(reference)
  const root = await remote.resolve(cx, reference.digest ?? reference.tag ?? 'latest')
  await remote.deleteManifest(cx, root.digest)
  if (flags.json) report.json({ digest: root.digest })
}
