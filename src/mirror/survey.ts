import { withSignal, type Context } from '#context.ts'
import type { Target } from '#image/content.ts'
import { forEachBounded } from '#image/pool.ts'
import { leavesFirst, walk } from '#image/walk.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { formatReference } from '#oci/reference.ts'
import { named, type MirrorOptions } from './apply.ts'
import { look, openEnds, openSource, unchanged, type Ends } from './ends.ts'
import { formatPlace, type ImagePlace, type Pair } from './plan.ts'

/** One image, as it was found. */
export interface Surveyed {
  readonly pair: Pair
  readonly state: 'copy' | 'present'
  /** What the source has. */
  readonly root: Descriptor
}

/** A blob that has to come from the source, once. */
export interface Upload {
  readonly digest: Digest
  readonly size: number
  /** The repository or directory that gets it. */
  readonly to: string
}

/** A blob that is in another repository of the registry, or will be. */
export interface Mount extends Upload {
  readonly from: string
}

/** What there is to do. */
export interface Survey {
  readonly images: readonly Surveyed[]
  /** Manifests and indexes to write, each once for each repository. */
  readonly manifests: number
  readonly uploads: readonly Upload[]
  readonly mounts: readonly Mount[]
}

/** How many images are looked at, and blobs asked for, at a time. */
const concurrency = { images: 6, blobs: 16 }

interface Need {
  readonly place: string
  readonly registry: string | undefined
  readonly target: Target
  readonly blob: Descriptor
}

/**
 * Looks at all images on both sides, and says what a sync would move. Nothing is written. Each blob that several
 * repositories of a registry lack is uploaded once, and mounted elsewhere.
 *
 * @throws StaveError what looking at an image throws, with its name
 */
export async function surveyMirror(cx: Context, pairs: readonly Pair[], options: MirrorOptions): Promise<Survey> {
  const abort = new AbortController()
  const inner = withSignal(cx, abort.signal)
  const cancel = (reason: unknown): void => abort.abort(reason)
  const ends = openEnds(options)
  const images: Surveyed[] = []
  const manifests = new Set<string>()
  const needs = new Map<string, Need>()
  const lookAt = async (index: number): Promise<void> => {
    const pair = pairs[index]!
    try {
      images[index] = await surveyOne(inner, pair, ends, options, { manifests, needs })
    } catch (error) {
      cx.signal.throwIfAborted()
      throw abort.signal.aborted ? error : named(pair, error)
    }
  }
  await forEachBounded([...pairs.keys()], concurrency.images, lookAt, cancel)

  const isThere = new Map<Need, boolean>()
  const ask = async (need: Need): Promise<void> => void isThere.set(need, await need.target.has(inner, need.blob))
  await forEachBounded([...needs.values()], concurrency.blobs, ask, cancel)
  return { images, manifests: manifests.size, ...routes([...needs.values()], isThere) }
}

async function surveyOne(
  cx: Context,
  pair: Pair,
  ends: Ends,
  options: MirrorOptions,
  found: { readonly manifests: Set<string>; readonly needs: Map<string, Need> },
): Promise<Surveyed> {
  const there = options.state?.digestOf(pair) ?? (await look(cx, pair.to, ends))
  const same = there === undefined ? undefined : await unchanged(cx, pair, there, ends, options)
  if (same !== undefined) return { pair, state: 'present', root: same }
  const { source, root } = await openSource(cx, pair, ends, options)
  if (there === root.digest && options.referrers !== true) return { pair, state: 'present', root }
  const place = containerOf(pair.to)
  const registry = pair.to.transport === 'docker' ? pair.to.reference.registry : undefined
  const { target } = await ends.target(pair.to)
  for (const node of leavesFirst(await walk(cx, source, root))) {
    found.manifests.add(`${place} ${node.descriptor.digest}`)
    for (const blob of node.blobs) {
      const key = `${place} ${blob.digest}`
      if (!found.needs.has(key)) found.needs.set(key, { place, registry, target, blob })
    }
  }
  return { pair, state: 'copy', root }
}

/** A repository, or a directory with one image. */
function containerOf(place: ImagePlace): string {
  if (place.transport === 'dir') return formatPlace(place)
  const { registry, repository } = place.reference
  return formatReference({ registry, repository })
}

/** Which way each blob goes that is missing: through the first repository that lacks it, and from there into the others. */
function routes(needs: readonly Need[], isThere: ReadonlyMap<Need, boolean>): Pick<Survey, 'uploads' | 'mounts'> {
  const uploads: Upload[] = []
  const mounts: Mount[] = []
  const holders = new Map<string, string>()
  const key = ({ registry, blob }: Need): string => `${registry} ${blob.digest}`
  for (const need of needs) if (isThere.get(need) === true && !holders.has(key(need))) holders.set(key(need), need.place)
  for (const need of needs) {
    if (isThere.get(need) === true) continue
    const { digest, size } = need.blob
    const from = need.registry === undefined ? undefined : holders.get(key(need))
    if (from !== undefined) {
      mounts.push({ digest, size, from, to: need.place })
      continue
    }
    uploads.push({ digest, size, to: need.place })
    if (need.registry !== undefined) holders.set(key(need), need.place)
  }
  return { uploads, mounts }
}
