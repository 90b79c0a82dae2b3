import type { Context } from '#context.ts'
import type { Source, Target } from './content.ts'
import { convert } from './convert.ts'
import { copy } from './copy.ts'
import { openImage, readManifest } from './image.ts'
import type { RecompressOptions } from './recompress.ts'
import { makeIndex } from './edit.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { isIndex } from '#oci/media-type.ts'
import { formatPlatform, parsePlatform } from '#oci/platform.ts'
import { narrowed } from './narrow.ts'
import { withStep } from './step.ts'

export interface Transfer {
  /** What a person reads: `pushing web`. */
  readonly title: string
  readonly from: Source
  readonly root: Descriptor
  readonly to: Target
  readonly name: string | undefined
  readonly moreNames?: readonly string[]
  /** Convert manifests first. */
  readonly format?: string | undefined
  /** Compress layers in another way first. */
  readonly compression?: RecompressOptions
  /** Of an index: all, these (then one alone is copied as a manifest; of none, the index alone), or what the source has of it. */
  readonly platforms?: 'all' | 'present' | readonly string[]
  /** With several platforms: the index stays as it is, with its digest, and mentions what is not copied. Default: a smaller one. */
  readonly sparse?: boolean
  readonly referrers?: boolean
  /** Most blobs at a time. */
  readonly concurrency?: number | undefined
  /** Is told what will be copied, before it is: what it throws prevents it. */
  readonly before?: (root: Descriptor) => Promise<void>
}

/** One copy as a step: pull, push, save, load and copy are this. @returns what the target has now */
export async function transfer(cx: Context, job: Transfer): Promise<Descriptor> {
  return withStep(cx, { id: job.title, title: job.title }, async () => {
    await using kept = new AsyncDisposableStack()
    const { source, root, platforms } = await prepare(cx, job, kept)
    await job.before?.(root)
    const copied = await copy(cx, source, root, job.to, {
      ...(job.name !== undefined && { name: job.name }),
      platforms,
      parent: job.title,
      stepPrefix: job.title,
      referrers: job.referrers ?? false,
      ...(job.concurrency !== undefined && { concurrency: job.concurrency }),
    })
    for (const name of job.moreNames ?? []) await job.to.name(cx, copied, name)
    await job.to.finish?.(cx)
    return copied
  })
}

interface Prepared {
  readonly source: Source
  readonly root: Descriptor
  readonly platforms: 'all' | readonly Platform[]
}

async function prepare(cx: Context, job: Transfer, kept: AsyncDisposableStack): Promise<Prepared> {
  let { from: source, root } = job
  if (job.platforms === 'present') {
    const before = root
    ;({ source, root } = await onlyPresent(cx, source, root))
    if (root.digest !== before.digest && isIndex(root.mediaType)) say(cx, job, before, 'an index of the platforms that are here')
  }
  let platforms: Prepared['platforms'] = 'all'
  if (typeof job.platforms === 'object') {
    const wanted = job.platforms.map((text) => parsePlatform(text))
    // One platform alone is the image and not an index of it: skopeo's and docker's rule.
    if (wanted.length === 1) root = (await openImage(cx, source, root, wanted[0])).descriptor
    else if (job.sparse === true || wanted.length === 0) platforms = wanted
    else {
      const before = root
      ;({ source, descriptor: root } = await narrowed(cx, source, root, wanted))
      if (root.digest !== before.digest) say(cx, job, before, `an index of ${wanted.map(formatPlatform).join(' and ')} alone`)
    }
  }
  if (job.format !== undefined) ({ source, root } = await asConverted(cx, source, root, job.format === 'oci' ? 'oci' : 'docker'))
  if (job.compression) {
    const { recompress } = await import('./recompress.ts')
    const made = kept.use(await recompress(cx, source, root, job.compression))
    ;({ source, descriptor: root } = made)
  }
  return { source, root, platforms }
}

/** Before bytes move: what the target gets is not what the name stands for. */
function say(cx: Context, { from }: Transfer, before: Descriptor, what: string): void {
  cx.report({ type: 'warning', message: `instead of ${from.title}@${before.digest} the target gets ${what}, which has another digest` })
}

async function asConverted(
  cx: Context,
  source: Source,
  root: Descriptor,
  format: 'oci' | 'docker',
): Promise<{ source: Source; root: Descriptor }> {
  const converted = await convert(cx, source, root, format)
  return { source: converted.source, root: converted.descriptor }
}

/**
 * A pull for one platform leaves an index of which the store has one entry. What is pushed then is that entry: a registry
 * refuses an index that mentions what it does not have.
 */
async function onlyPresent(cx: Context, source: Source, root: Descriptor): Promise<{ source: Source; root: Descriptor }> {
  const document = await readManifest(cx, source, root)
  if (document.kind === 'manifest' || !('has' in source)) return { source, root }
  const target = source as Target
  const present: Descriptor[] = []
  for (const entry of document.index.manifests) if (await target.has(cx, entry)) present.push(entry)
  if (present.length === document.index.manifests.length) return { source, root }
  if (present.length === 1) return { source, root: present[0]! }
  const smaller = makeIndex(present.map((descriptor) => ({ descriptor, source })))
  return { source: smaller.source, root: smaller.descriptor }
}
