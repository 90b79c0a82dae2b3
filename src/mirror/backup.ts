import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { leavesFirst, type ManifestNode, walk } from '#image/walk.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { addOmitted, type Contents, type Inventory, type OmittedBlob } from './inventory.ts'

/** An image or artifact that goes into a backup. */
export interface BackupRoot {
  /** The full reference: `registry.example/team/web:1`. */
  readonly name: string
  /** The repository as the other side will know it, without its registry. */
  readonly repository: string
  readonly source: Source
  readonly descriptor: Descriptor
}

export interface BackupOptions {
  /** What the other side has: its blobs are left out. */
  readonly known?: Inventory
  /** Also what refers to the images (signatures, SBOMs), and what refers to that. */
  readonly referrers?: boolean
}

/** What a backup has in it. */
export interface BackupReport {
  readonly images: number
  readonly manifests: number
  readonly blobs: number
  /** Of blobs and manifests. */
  readonly bytes: number
  /** What was left out, because the other side has it. */
  readonly omitted: { readonly blobs: number; readonly bytes: number }
  /** The blobs of each repository, left out or not: what the other side has, once all this is there. */
  readonly contents: Contents
}

interface Content {
  readonly descriptor: Descriptor
  readonly source: Source
}

/**
 * Writes images into one OCI archive: each blob once, in the order of digests, so that the same images make the same file.
 * What the other side has already is left out, and told in an entry of its own, by which {@link restore} finds it.
 *
 * @throws StaveError what reading throws; `conflict` for two images of one name
 * @see image-spec, "Image Layout"
 */
export async function backup(
  cx: Context,
  archive: Target,
  roots: readonly BackupRoot[],
  options: BackupOptions = {},
): Promise<BackupReport> {
  const sorted = roots.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const twice = sorted.find((root, at) => root.name === sorted[at + 1]?.name)
  if (twice !== undefined) throw new StaveError('conflict', `cannot back up ${twice.name} twice`)
  const blobs = new Map<Digest, Content>()
  const manifests = new Map<Digest, Content>()
  const contents = new Map<string, Set<Digest>>()
  for (const { repository, source, descriptor } of sorted) {
    const owned = contents.get(repository) ?? new Set<Digest>()
    contents.set(repository, owned)
    for (const tree of await treesOf(cx, source, descriptor, options.referrers ?? false)) {
      for (const node of leavesFirst(tree)) {
        for (const blob of node.blobs) {
          blobs.set(blob.digest, { descriptor: blob, source })
          owned.add(blob.digest)
        }
        // What an index mentions comes before it, whatever was there first.
        if (!manifests.has(node.descriptor.digest)) manifests.set(node.descriptor.digest, { descriptor: node.descriptor, source })
      }
    }
  }
  const omitted: OmittedBlob[] = []
  let bytes = 0
  const write = async ({ descriptor, source }: Content) => {
    await archive.write(cx, descriptor, await source.open(cx, descriptor))
    bytes += descriptor.size
  }
  for (const [digest, content] of inOrder(blobs)) {
    const there = options.known?.repositoriesOf(digest) ?? []
    if (there.length > 0) omitted.push({ digest, size: content.descriptor.size, repositories: there })
    else await write(content)
  }
  for (const content of manifests.values()) await write(content)
  for (const { descriptor, name } of sorted) await archive.name(cx, descriptor, name)
  if (omitted.length > 0) await addOmitted(cx, archive, omitted)
  return {
    images: sorted.length,
    manifests: manifests.size,
    blobs: blobs.size - omitted.length,
    bytes,
    omitted: { blobs: omitted.length, bytes: omitted.reduce((sum, { size }) => sum + size, 0) },
    contents,
  }
}

function inOrder(content: ReadonlyMap<Digest, Content>): (readonly [Digest, Content])[] {
  return [...content].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** An image, and what refers to it and its children, each as a tree of its own. */
async function treesOf(cx: Context, source: Source, root: Descriptor, withReferrers: boolean): Promise<readonly ManifestNode[]> {
  const trees = [await walk(cx, source, root)]
  if (!withReferrers || source.referrers === undefined) return trees
  const seen = new Set<Digest>([root.digest])
  for (let depth = 0, level = trees.slice(); level.length > 0 && depth < limit.referrerDepth; depth++) {
    const next: ManifestNode[] = []
    for (const { descriptor } of level.flatMap((tree) => leavesFirst(tree))) {
      const found = (await source.referrers(cx, descriptor.digest)).filter(({ digest }) => !seen.has(digest))
      for (const referrer of found.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
        seen.add(referrer.digest)
        if (seen.size > limit.referrers) throw new StaveError('too-large', `cannot back up ${source.title}: it has too many referrers`)
        next.push(await walk(cx, source, referrer))
      }
    }
    trees.push(...next)
    level = next
  }
  return trees
}
