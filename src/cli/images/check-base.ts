import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import { baseDigest, baseName, isBasedOn } from '#image/rebase.ts'
import { isIndex } from '#oci/media-type.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { wantedPlatform } from './fetch.ts'
import type { checkBaseFlags } from './verb-commands.ts'

/** Tells whether the base of an image is still what its name stands for. @returns 1 if it is not */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof checkBaseFlags>): Promise<number> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const root = await resolveOrLeave(cx, source, name)
  const isChosen = flags.platform !== undefined || isIndex(root.mediaType)
  const image = await openImage(cx, source, root, isChosen ? wantedPlatform(flags.platform, settings) : undefined)
  const { [baseName]: said, [baseDigest]: before } = image.manifest.annotations ?? {}
  const base = flags.base ?? (said === undefined ? undefined : `docker://${said}`)
  if (base === undefined) {
    throw new StaveError('usage', `cannot tell what ${args[0]} was built on: it has no annotation ${baseName}`, {
      hint: 'Name it with --base.',
    })
  }
  const there = await places.source(cx, base)
  const now = await there.source.resolve(cx, there.name)
  const under = await openImage(cx, there.source, now, await image.config(cx))
  const expected = flags.digest ?? (flags.base === undefined ? before : undefined)
  // A digest may be that of the index, or of the image in it; without one, the layers tell.
  const isCurrent =
    expected === undefined ? await isBasedOn(cx, image, under) : [now.digest, under.descriptor.digest].some((digest) => digest === expected)
  if (flags.json) report.json({ base, current: isCurrent, digest: now.digest, ...(expected !== undefined && { expected }) })
  else report.print(isCurrent ? `the base ${base} is current` : `the base ${base} has changed to ${now.digest}`)
  return isCurrent ? 0 : 1
}
