import { withSignal, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { digestHex, type Digest } from '#oci/digest.ts'
import { isConfig, isIndex, isLayer, isManifest } from '#oci/media-type.ts'
import * as limit from '#limit.ts'
import type { Bytes, Source, Target } from './content.ts'
import { forEachBounded } from './pool.ts'
import { embeddedData, once } from './read.ts'
import { withStep, type StepOutcome } from './step.ts'
import { leavesFirst, walk, type ManifestNode } from './walk.ts'

export interface CopyOptions {
  /** The name that the content gets in the target, at the very end. */
  readonly name?: string
  /**
   * Of an index only the entries for these and their attestations. The index itself is copied as it is, with its
   * digest, and mentions what is not there: some registries refuse that; for them make a smaller one with `makeIndex`.
   */
  readonly platforms?: 'all' | readonly Platform[]
  /** Most blobs at a time. */
  readonly concurrency?: number
  /** Also what refers to the manifests that are copied (signatures, SBOMs), and what refers to that. */
  readonly referrers?: boolean
  /** Step that the steps of the copy are part of. */
  readonly parent?: string
  /** Distinguishes the steps of this copy from those of others of the same content. */
  readonly stepPrefix?: string
}

const statusIntervalMs = 50

/**
 * Copies a manifest or an index with everything that it mentions, each thing once, leaves first, and names it last.
 * Bytes of manifests are never changed. What is there already is not moved; what can be taken over is not read.
 * Foreign layers stay where their owner serves them. If something fails, what is in flight is cancelled and awaited.
 *
 * @returns the descriptor of what was copied: that of `root`
 * @throws StaveError what the source and the target throw
 */
export async function copy(cx: Context, from: Source, root: Descriptor, to: Target, options: CopyOptions = {}): Promise<Descriptor> {
  const abort = new AbortController()
  const inner = withSignal(cx, abort.signal)
  const copying: Copying = {
    cx: inner,
    from,
    to,
    options,
    concurrency: options.concurrency ?? 4,
    cancel: (reason) => abort.abort(reason),
    done: new Set(),
  }
  const tree = await walk(inner, from, root, { ...(options.platforms !== undefined && { platforms: options.platforms }) })
  await copyTree(copying, tree)
  if (options.referrers === true) await copyReferrers(copying, leavesFirst(tree))
  cx.signal.throwIfAborted()
  if (options.name !== undefined) await to.name(inner, tree.descriptor, options.name)
  return tree.descriptor
}

interface Copying {
  readonly cx: Context
  readonly from: Source
  readonly to: Target
  readonly options: CopyOptions
  readonly concurrency: number
  cancel(reason: unknown): void
  /** What is in the target by now. */
  readonly done: Set<Digest>
}

async function copyTree(copying: Copying, tree: ManifestNode): Promise<void> {
  const nodes = leavesFirst(tree)
  await forEachBounded(
    unique(
      copying,
      nodes.flatMap((node) => node.blobs),
    ),
    copying.concurrency,
    (blob) => copyBlob(copying, blob),
    copying.cancel,
  )
  // Manifests of one height do not mention each other.
  for (const group of byHeight(nodes)) {
    const fresh = group.filter((node) => !copying.done.has(node.descriptor.digest))
    await forEachBounded(fresh, copying.concurrency, (node) => copyManifest(copying, node), copying.cancel)
  }
}

/** Each digest once, and not what was copied before. */
function unique(copying: Copying, descriptors: readonly Descriptor[]): readonly Descriptor[] {
  const byDigest = new Map<Digest, Descriptor>()
  for (const descriptor of descriptors)
    if (!copying.done.has(descriptor.digest) && !byDigest.has(descriptor.digest)) byDigest.set(descriptor.digest, descriptor)
  return [...byDigest.values()]
}

function byHeight(nodes: readonly ManifestNode[]): readonly (readonly ManifestNode[])[] {
  const heights = new Map<ManifestNode, number>()
  const groups: ManifestNode[][] = []
  for (const node of nodes) {
    const height = node.children.reduce((highest, child) => Math.max(highest, heights.get(child)! + 1), 0)
    heights.set(node, height)
    ;(groups[height] ??= []).push(node)
  }
  return groups
}

async function copyBlob(copying: Copying, blob: Descriptor): Promise<void> {
  await asStep(copying, blob, async (report) => {
    const { cx, to } = copying
    if (await to.has(cx, blob)) return { state: 'cached' }
    const origin = copying.from.origin?.(blob) ?? copying.from
    if (to.adopt !== undefined && (await to.adopt(cx, blob, origin))) return { state: 'done', detail: 'taken over' }
    const embedded = embeddedData(blob)
    const open = async (start: number): Promise<Bytes> => {
      const bytes: Bytes = embedded === undefined ? await origin.open(cx, blob, start) : once(embedded.subarray(start))
      const passed = counted(cx, bytes, start, report)
      return bytes.verifies === undefined ? passed : Object.assign(passed, { verifies: bytes.verifies })
    }
    await (to.transfer === undefined ? to.write(cx, blob, await open(0)) : to.transfer(cx, blob, open))
    return { state: 'done' }
  })
}

async function copyManifest(copying: Copying, node: ManifestNode): Promise<void> {
  await asStep(copying, node.descriptor, async () => {
    const { cx, to } = copying
    if (await to.has(cx, node.descriptor)) return { state: 'cached' }
    await to.write(cx, node.descriptor, once(node.document.raw))
    return { state: 'done' }
  })
}

/** After their subjects, which are there by now: a registry lists a referrer when it comes. */
async function copyReferrers(copying: Copying, nodes: readonly ManifestNode[]): Promise<void> {
  const { cx, from } = copying
  if (from.referrers === undefined) return
  const seen = new Set<Digest>(nodes.map((node) => node.descriptor.digest))
  let subjects: readonly Digest[] = [...seen]
  for (let depth = 0; subjects.length > 0 && depth < limit.referrerDepth; depth++) {
    const next: Digest[] = []
    for (const subject of subjects) {
      for (const referrer of await from.referrers(cx, subject)) {
        if (seen.has(referrer.digest)) continue
        if (seen.size > limit.referrers)
          throw new StaveError('too-large', `cannot copy the referrers in ${from.title}: there are more than ${limit.referrers}`)
        seen.add(referrer.digest)
        const tree = await walk(cx, from, referrer)
        await copyTree(copying, tree)
        next.push(...leavesFirst(tree).map((node) => node.descriptor.digest))
      }
    }
    subjects = next
  }
}

async function asStep(
  copying: Copying,
  what: Descriptor,
  work: (report: (current: number) => void) => Promise<StepOutcome>,
): Promise<void> {
  const { cx, options } = copying
  const id = `${options.stepPrefix ?? 'copy'}:${what.digest}`
  const report = (current: number): void => cx.report({ type: 'status', id, current, total: what.size, unit: 'bytes' })
  const did = async (): Promise<StepOutcome> => {
    cx.signal.throwIfAborted()
    const outcome = await work(report)
    copying.done.add(what.digest)
    return outcome
  }
  await withStep(
    cx,
    { id, title: stepTitle(what), ...(options.parent !== undefined && { parent: options.parent }) },
    did,
    (outcome) => outcome,
  )
}

function stepTitle(what: Descriptor): string {
  const kind = isLayer(what.mediaType)
    ? 'layer'
    : isConfig(what.mediaType)
      ? 'config'
      : isManifest(what.mediaType)
        ? 'manifest'
        : isIndex(what.mediaType)
          ? 'index'
          : 'blob'
  return `${kind} ${digestHex(what.digest).slice(0, 12)}`
}

/** Reports progress at most every {@link statusIntervalMs}, and makes any source stop soon when cancelled. */
async function* counted(
  cx: Context,
  bytes: Bytes,
  start: number,
  report: (current: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let current = start
  let reported = 0
  for await (const chunk of bytes) {
    cx.signal.throwIfAborted()
    yield chunk
    current += chunk.length
    const now = performance.now()
    if (now - reported >= statusIntervalMs) {
      reported = now
      report(current)
    }
  }
  report(current)
}
