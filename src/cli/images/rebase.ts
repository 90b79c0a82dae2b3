import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { openImage, type Image } from '#image/image.ts'
import { baseDigest, baseName, rebase } from '#image/rebase.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import type { Places } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { changeImage } from './change.ts'
import type { rebaseFlags } from './verb-commands.ts'

/** Puts what an image has above its base onto another base, without a layer being read. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof rebaseFlags>): Promise<void> {
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const change = async (inner: Context, image: Image): Promise<Image> => {
    const { [baseName]: name, [baseDigest]: digest } = image.manifest.annotations ?? {}
    const platform = await image.config(inner)
    const old = flags['old-base'] ?? (name === undefined || digest === undefined ? undefined : `docker://${pinned(name, digest)}`)
    const next = flags['new-base'] ?? (name === undefined ? undefined : `docker://${name}`)
    if (old === undefined || next === undefined) {
      throw new StaveError('usage', `cannot tell what ${args[0]} was built on: it has no annotations ${baseName} and ${baseDigest}`, {
        hint: 'Name both with --old-base and --new-base.',
      })
    }
    const oldBase = await imageAt(inner, places, old, platform)
    const newBase = await imageAt(inner, places, next, platform)
    return rebase(inner, image, oldBase, newBase, nameOf(next))
  }
  await changeImage(cx, places, report, { place: args[0]!, tag: flags.tag, platform: flags.platform, change })
}

/** The name by its digest: what the tag stands for may be another image by now. */
function pinned(name: string, digest: string): string {
  const { registry, repository } = parseReference(name)
  return `${formatReference({ registry, repository })}@${digest}`
}

/** A base that has a name others can find it by. */
function nameOf(place: string): string | undefined {
  const location = parseLocation(place)
  if (location.transport !== 'docker') return undefined
  const { registry, repository, tag } = parseReference(location.name)
  return tag === undefined ? undefined : formatReference({ registry, repository, tag })
}

async function imageAt(cx: Context, places: Places, place: string, platform: Parameters<typeof openImage>[3]): Promise<Image> {
  const { source, name } = await places.source(cx, place)
  return openImage(cx, source, await source.resolve(cx, name), platform)
}
