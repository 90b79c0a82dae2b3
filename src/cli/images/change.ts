import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { openImage, type Image } from '#image/image.ts'
import { rewrite } from '#image/rewrite.ts'
import { transfer } from '#image/transfer.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { parsePlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'
import type { Report } from '../output/report.ts'
import { parseLocation } from '#places/location.ts'
import { type OpenTarget, type Places, resolveOrLeave } from '#places/places.ts'

export interface ImageChange {
  /** Where the image is. */
  readonly place: string
  /** Where the changed one goes; without, to the same repository of a registry, without a tag. */
  readonly tag: string | undefined
  /** Of an index only this one, which then stands alone. */
  readonly platform: string | undefined
  readonly change: (cx: Context, image: Image) => Promise<Image>
}

/** Changes an image, or each of an index, puts the result into its place, and prints its digest. */
export async function changeImage(cx: Context, places: Places, report: Report, job: ImageChange): Promise<Descriptor> {
  const { source, name } = await places.source(cx, job.place)
  const named = await resolveOrLeave(cx, source, name)
  const root = job.platform === undefined ? named : (await openImage(cx, source, named, parsePlatform(job.platform))).descriptor
  const target = await targetOf(cx, places, job)
  const made = await rewrite(cx, source, root, (image) => job.change(cx, image))
  if (made.dropped.length > 0) {
    const message = `attestations of ${source.title}@${root.digest} are left out: they are about images that were changed`
    cx.report({ type: 'warning', message })
  }
  const changed = await transfer(cx, {
    title: `writing ${job.tag ?? job.place}`,
    from: made.source,
    root: made.descriptor,
    to: target.target,
    name: target.name,
  })
  await report.settle()
  report.print(changed.digest)
  return changed
}

export async function targetOf(cx: Context, places: Places, { place, tag }: Pick<ImageChange, 'place' | 'tag'>): Promise<OpenTarget> {
  if (tag !== undefined) return places.target(cx, tag)
  const location = parseLocation(place)
  if (location.transport === 'docker') return { target: await places.registry(parseReference(location.name)), name: undefined }
  throw new StaveError('usage', `cannot tell where the changed ${place} goes`, { hint: 'Name its place with --tag.' })
}
