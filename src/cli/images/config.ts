import { openImage } from '#image/image.ts'
import { isIndex } from '#oci/media-type.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { wantedPlatform } from './fetch.ts'
import type { placeFlags } from './verb-commands.ts'

/** Writes the config of an image exactly as it is stored. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof placeFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const root = await resolveOrLeave(cx, source, name)
  const isChosen = flags.platform !== undefined || isIndex(root.mediaType)
  const image = await openImage(cx, source, root, isChosen ? wantedPlatform(flags.platform, settings) : undefined)
  report.write(await image.rawConfig(cx))
}
