import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { isForeignLayer, isManifestOrIndex } from '#oci/media-type.ts'
import { matchPlatform, selectPlatform } from '#oci/platform.ts'
import type { Source } from './content.ts'
import { isAttestation, readManifest, type ManifestDocument } from './image.ts'

/** A manifest or index with what it mentions. */
export interface ManifestNode {
  readonly descriptor: Descriptor
  readonly document: ManifestDocument
  /** Config and layers, or what an index has that is no manifest; without foreign layers. */
  readonly blobs: readonly Descriptor[]
  readonly children: readonly ManifestNode[]
}

export interface WalkOptions {
  /** Of an index only the entries for these, and their attestations. Default: all. */
  readonly platforms?: 'all' | readonly Platform[]
  /** The most manifests in the whole graph. */
  readonly maxManifests?: number
}

/**
 * Reads all manifests below a descriptor. Blobs are mentioned, not read. An edge is a digest of the content that it
 * leads to, so there can be no cycle; depth and number are bounded nevertheless. What is mentioned in two places is
 * one node.
 *
 * @throws StaveError `too-large`, `platform-mismatch`, and what reading a manifest throws
 */
export async function walk(cx: Context, source: Source, root: Descriptor, options: WalkOptions = {}): Promise<ManifestNode> {
  const nodes = new Map<Digest, Promise<ManifestNode>>()
  const max = options.maxManifests ?? limit.manifests

  const visit = (descriptor: Descriptor, depth: number): Promise<ManifestNode> => {
    const known = nodes.get(descriptor.digest)
    if (known !== undefined) return known
    if (nodes.size >= max)
      throw new StaveError('too-large', `cannot walk ${source.title}@${root.digest}: it has more than ${max} manifests`)
    if (depth > limit.indexDepth) {
      throw new StaveError(
        'invalid-document',
        `cannot walk ${source.title}@${root.digest}: its indexes are nested deeper than ${limit.indexDepth}`,
      )
    }
    const node = read(descriptor, depth)
    // The first failure is awaited by whoever asked first; others may never ask.
    node.catch(() => {})
    nodes.set(descriptor.digest, node)
    return node
  }

  const read = async (descriptor: Descriptor, depth: number): Promise<ManifestNode> => {
    cx.signal.throwIfAborted()
    const document = await readManifest(cx, source, descriptor)
    if (document.kind === 'manifest') {
      const { config, layers } = document.manifest
      return { descriptor: document.descriptor, document, blobs: [config, ...layers].filter(isTransferable), children: [] }
    }
    const entries = narrow(source, root, document.index.manifests, options.platforms ?? 'all')
    const children: ManifestNode[] = []
    // In small groups: an index of hundreds of entries must not open hundreds of connections.
    const manifests = entries.filter((entry) => isManifestOrIndex(entry.mediaType))
    for (let start = 0; start < manifests.length; start += 8)
      children.push(...(await settled(manifests.slice(start, start + 8).map(async (entry) => visit(entry, depth + 1)))))
    return {
      descriptor: document.descriptor,
      document,
      blobs: entries.filter((entry) => !isManifestOrIndex(entry.mediaType)),
      children,
    }
  }

  return visit(root, 0)
}

/** All nodes, each once, what is mentioned before what mentions it. */
export function leavesFirst(root: ManifestNode): readonly ManifestNode[] {
  const seen = new Set<ManifestNode>()
  const order: ManifestNode[] = []
  const visit = (node: ManifestNode): void => {
    if (seen.has(node)) return
    seen.add(node)
    for (const child of node.children) visit(child)
    order.push(node)
  }
  visit(root)
  return order
}

/**
 * Foreign layers stay where their owner serves them (image-spec, "Non-Distributable Layers"). One without `urls` can
 * only be fetched like others.
 */
function isTransferable(descriptor: Descriptor): boolean {
  return !(isForeignLayer(descriptor.mediaType) && (descriptor.urls?.length ?? 0) > 0)
}

/**
 * Entries for the platforms, in the order of the index, with the attestations that belong to them.
 *
 * @throws StaveError `platform-mismatch`
 */
export function narrow(
  source: Source,
  root: Descriptor,
  entries: readonly Descriptor[],
  platforms: 'all' | readonly Platform[],
): readonly Descriptor[] {
  if (platforms === 'all') return entries
  const images = entries.filter((entry) => !isAttestation(entry))
  const chosen = new Set<Descriptor>()
  for (const platform of platforms) {
    const best = selectPlatform(platform, images)
    if (best === undefined)
      throw new StaveError('platform-mismatch', `cannot find ${platform.os}/${platform.architecture} in ${source.title}@${root.digest}`)
    for (const entry of images) {
      // Two entries for one platform (a zstd twin, another os.version) both belong to it.
      if (entry === best || (entry.platform !== undefined && samePlatform(entry.platform, best.platform!))) chosen.add(entry)
    }
  }
  const digests = new Set<string>([...chosen].map((entry) => entry.digest))
  return entries.filter((entry) => chosen.has(entry) || digests.has(entry.annotations?.['vnd.docker.reference.digest'] ?? ''))
}

function samePlatform(a: Platform, b: Platform): boolean {
  return matchPlatform(a, b) && matchPlatform(b, a)
}

/** Waits for all, then throws the first failure: nothing is left running behind the caller's back. */
export async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
