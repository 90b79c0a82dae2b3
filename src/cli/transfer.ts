import type { Context } from '#context.ts'
import type { Source, Target } from '#image/content.ts'
import { convert } from '#image/convert.ts'
import { copy } from '#image/copy.ts'
import { openImage, readManifest } from '#image/image.ts'
import { makeIndex } from '#image/edit.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { parsePlatform } from '#oci/platform.ts'

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
  /** Of an index: all, these (then one alone is copied as a manifest), or what the source has of it. */
  readonly platforms?: 'all' | 'present' | readonly string[]
  readonly referrers?: boolean
}

/** One copy as a step: pull, push, save, load and copy are this. @returns what the target has now */
export async function transfer(cx: Context, job: Transfer): Promise<Descriptor> {
  const started = performance.now()
  const step = (state: 'started' | 'done' | 'failed') =>
    cx.report({
      type: 'step',
      id: job.title,
      title: job.title,
      state,
      ...(state !== 'started' && { durationMs: performance.now() - started }),
    })
  step('started')
  try {
    const { source, root, platforms } = await prepare(cx, job)
    const copied = await copy(cx, source, root, job.to, {
      ...(job.name !== undefined && { name: job.name }),
      platforms,
      parent: job.title,
      stepPrefix: job.title,
      referrers: job.referrers ?? false,
    })
    for (const name of job.moreNames ?? []) await job.to.name(cx, copied, name)
    await job.to.finish?.(cx)
    step('done')
    return copied
  } catch (error) {
    step('failed')
    throw error
  }
}

async function prepare(cx: Context, job: Transfer): Promise<{ source: Source; root: Descriptor; platforms: 'all' | readonly Platform[] }> {
  let { from: source, root } = job
  if (job.format !== undefined) ({ source, root } = await asConverted(cx, source, root, job.format === 'oci' ? 'oci' : 'docker'))
  if (job.platforms === 'present') ({ source, root } = await onlyPresent(cx, source, root))
  if (typeof job.platforms !== 'object') return { source, root, platforms: 'all' }
  const platforms = job.platforms.map((text) => parsePlatform(text))
  if (platforms.length > 1) return { source, root, platforms }
  // One platform alone is the image and not an index of it: skopeo's and docker's rule.
  const image = await openImage(cx, source, root, platforms[0])
  return { source, root: image.descriptor, platforms: 'all' }
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
