import { StaveError } from '#error.ts'
import type { Context } from '#context.ts'
import { isAttestation, readManifest } from '#image/image.ts'
import { changeIndex, type IndexChange } from '#image/index-edit.ts'
import { narrowed } from '#image/narrow.ts'
import { transfer } from '#image/transfer.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { formatPlatform, parsePlatform } from '#oci/platform.ts'
import type { Source } from '#image/content.ts'
import type { Invocation, Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { entriesAt } from './index-create.ts'
import type { indexAddFlags, indexFilterFlags, indexRemoveFlags } from './index-commands.ts'

type Change = (source: Source, root: Descriptor) => Promise<{ readonly source: Source; readonly descriptor: Descriptor }>

/** `stave index add`: more images in an index. */
export async function add(invocation: Invocation<typeof indexAddFlags>): Promise<void> {
  const { cx, flags, args, settings } = invocation
  const [place = '', ...operands] = args
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const entries = await entriesAt(cx, places, [...flags.ref, ...operands], flags.platform)
  if (entries.length === 0) throw new StaveError('usage', 'stave index add: an image to add is missing')
  const change: IndexChange = { add: entries, annotations: keyValues(flags.annotation, '--annotation') }
  await changed(invocation, place, flags.tag, (source, root) => changeIndex(cx, source, root, change))
}

/** `stave index remove`: an index without some of its images, and their attestations. */
export async function remove(invocation: Invocation<typeof indexRemoveFlags>): Promise<void> {
  const { cx, flags, args } = invocation
  const [place = '', ...operands] = args
  const doomed = new Set<string>([...operands, ...flags.digest])
  const platforms = new Set(flags.platform.map((text) => formatPlatform(parsePlatform(text))))
  if (doomed.size + platforms.size === 0) throw new StaveError('usage', 'stave index remove: a digest or --platform is missing')
  const isDoomed = (entry: Descriptor) =>
    doomed.has(entry.digest) || (!isAttestation(entry) && entry.platform !== undefined && platforms.has(formatPlatform(entry.platform)))
  await changed(invocation, place, flags.tag, async (source, root) => {
    const entries = await entriesIn(cx, source, root)
    if (!entries.some(isDoomed)) throw new StaveError('not-found', `cannot remove it from ${place}: no entry of the index is that`)
    return changeIndex(cx, source, root, { keep: (entry) => !isDoomed(entry) })
  })
}

/** `stave index filter`: an index with some of its platforms alone, and their attestations. */
export async function filter(invocation: Invocation<typeof indexFilterFlags>): Promise<void> {
  const { cx, flags, args } = invocation
  const wanted = flags.platform.flatMap((text) => text.split(',')).map((text) => parsePlatform(text))
  if (wanted.length === 0) throw new StaveError('usage', 'stave index filter: --platform is missing')
  await changed(invocation, args[0]!, flags.tag, (source, root) => narrowed(cx, source, root, wanted))
}

async function entriesIn(cx: Context, source: Source, root: Descriptor): Promise<readonly Descriptor[]> {
  const document = await readManifest(cx, source, root)
  return document.kind === 'index' ? document.index.manifests : []
}

async function changed(
  { cx, flags, settings, report }: Pick<Invocation, 'cx' | 'settings' | 'report'> & { readonly flags: Values<typeof indexFilterFlags> },
  place: string,
  tag: string | undefined,
  change: Change,
): Promise<void> {
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { source, name } = await places.source(cx, place)
  const made = await change(source, await resolveOrLeave(cx, source, name))
  const to = await places.target(cx, tag ?? place)
  const isNamed = to.name === undefined || !/^sha(256|512):/.test(to.name)
  const { digest } = await transfer(cx, {
    title: `writing ${tag ?? place}`,
    from: made.source,
    root: made.descriptor,
    to: to.target,
    // Of an index that was named by its digest, another digest comes.
    name: isNamed ? to.name : undefined,
  })
  await report.settle()
  report.print(digest)
}
