import { StaveError } from '#error.ts'
import { isAttestation, readManifest } from '#image/image.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { formatPlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { printList } from '../output/table.ts'
import type { indexListFlags } from './index-commands.ts'

/** Prints the entries of an index: digest, platform or what else it is, size. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof indexListFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const document = await readManifest(cx, source, await resolveOrLeave(cx, source, name))
  if (document.kind !== 'index') {
    throw new StaveError('usage', `cannot list the entries of ${args[0]}: it is an image and no index`, {
      hint: `stave image config ${args[0]} shows it.`,
    })
  }
  printList(
    report,
    document.index.manifests,
    [
      { heading: 'DIGEST', value: ({ digest }) => digest },
      { heading: 'WHAT', value: kindOf },
      { heading: 'SIZE', value: ({ size }) => String(size) },
    ],
    (entry) => entry,
    flags,
  )
}

function kindOf(entry: Descriptor): string {
  if (isAttestation(entry)) return `attestation of ${entry.annotations?.['vnd.docker.reference.digest'] ?? 'something'}`
  return entry.platform === undefined ? (entry.artifactType ?? entry.mediaType) : formatPlatform(entry.platform)
}
