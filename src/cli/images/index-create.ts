import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { changedIndex, emptyIndex, entriesOf, type Entries } from '#image/index-edit.ts'
import { openImage } from '#image/image.ts'
import { transfer } from '#image/transfer.ts'
import { formatOf } from '#oci/media-type.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { type Places, resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { indexCreateFlags } from './index-commands.ts'

/** Joins images, wherever they are, to one index. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof indexCreateFlags>): Promise<void> {
  const [target = '', ...operands] = args
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const add = await entriesAt(cx, places, [...flags.ref, ...operands], flags.platform)
  const entries = add.flatMap(({ descriptors }) => descriptors)
  const allDocker = entries.length > 0 && entries.every(({ mediaType }) => formatOf(mediaType) === 'docker')
  const format = flags.format ?? (allDocker && flags.annotation.length === 0 ? 'docker' : 'oci')
  const { raw, mediaType } = emptyIndex(format === 'oci' ? 'oci' : 'docker')
  const made = changedIndex(undefined, raw, { mediaType }, [], new Map(add.flatMap(({ owners }) => [...owners])), {
    add,
    annotations: keyValues(flags.annotation, '--annotation'),
    ...(flags['artifact-type'] !== undefined && { artifactType: flags['artifact-type'] }),
  })
  const to = await places.target(cx, target)
  const { digest } = await transfer(cx, {
    title: `writing ${target}`,
    from: made.source,
    root: made.descriptor,
    to: to.target,
    name: to.name,
    moreNames: flags.tag,
  })
  await report.settle()
  report.print(digest)
}

/** What each of these places brings. With platforms, of an index only the images for these. */
export async function entriesAt(
  cx: Context,
  places: Places,
  texts: readonly string[],
  platforms: readonly string[] = [],
): Promise<readonly Entries[]> {
  const wanted = platforms.flatMap((text) => text.split(',')).map((text) => parsePlatform(text))
  return Promise.all(
    texts.map(async (text): Promise<Entries> => {
      const { source, name } = await places.source(cx, text)
      const root = await resolveOrLeave(cx, source, name)
      if (wanted.length === 0) return entriesOf(cx, source, root)
      const chosen = await Promise.all(wanted.map(async (platform) => (await openImage(cx, source, root, platform)).descriptor))
      const found = await Promise.all(chosen.map((descriptor) => entriesOf(cx, source, descriptor)))
      if (found.length === 0) throw new StaveError('platform-mismatch', `cannot find any of the platforms in ${text}`)
      return { descriptors: found.flatMap(({ descriptors }) => descriptors), owners: new Map(found.flatMap(({ owners }) => [...owners])) }
    }),
  )
}
