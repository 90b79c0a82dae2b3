import { openImage } from '#image/image.ts'
import { parsePlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { digestFlags } from './verb-commands.ts'

/** Prints the digest of what a name stands for, or of its image for a platform. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof digestFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  // By HEAD, if the place has that: at Docker Hub a GET counts as a pull.
  const resolve = async (inner: typeof cx, text: string) => (await source.describe?.(inner, text)) ?? (await source.resolve(inner, text))
  const root = await resolveOrLeave(cx, { ...source, resolve }, name)
  const { digest } = flags.platform === undefined ? root : (await openImage(cx, source, root, parsePlatform(flags.platform))).descriptor
  const location = parseLocation(args[0]!)
  if (!flags['full-ref'] || (location.transport !== 'docker' && location.transport !== 'store')) return report.print(digest)
  const { registry, repository } = parseReference(location.name)
  report.print(`${formatReference({ registry, repository })}@${digest}`)
}
