import type { Context } from '#context.ts'
import type { Source } from './content.ts'
import type { Image } from './image.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { applyLayer, cloneTree, emptyTree, type Tree, type TreeEntry } from './tree.ts'

/** A file that two images do not both have, or not alike. */
export interface FileChange {
  readonly path: string
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** The layers of two images, by their digests. */
export interface LayerChange {
  /** From the lowest on, as far as they are the same. */
  readonly common: readonly Descriptor[]
  readonly before: readonly Descriptor[]
  readonly after: readonly Descriptor[]
}

export function diffLayers(before: Image, after: Image): LayerChange {
  const [left, right] = [before.manifest.layers, after.manifest.layers]
  const differs = left.findIndex((layer, at) => layer.digest !== right[at]?.digest)
  const count = differs < 0 ? left.length : differs
  return { common: left.slice(0, count), before: left.slice(count), after: right.slice(count) }
}

/**
 * The files that two images do not have alike: what they are, and their content, mode and owner. Layers that both have are
 * read once.
 *
 * @throws StaveError `invalid-layer`, `too-large`, and what reading throws
 */
export async function diffFiles(cx: Context, before: Image, after: Image): Promise<readonly FileChange[]> {
  const { common, ...own } = diffLayers(before, after)
  if (own.before.length + own.after.length === 0) return []
  const base = emptyTree()
  for (const layer of common) await applyLayer(cx, base, before.source, layer)
  const treeOf = async (tree: Tree, source: Source, layers: readonly Descriptor[]) => {
    for (const layer of layers) await applyLayer(cx, tree, source, layer)
    return tree
  }
  const left = await treeOf(cloneTree(base), before.source, own.before)
  const right = await treeOf(base, after.source, own.after)
  return compare(left, right).toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

function compare(before: Tree, after: Tree): FileChange[] {
  const found: FileChange[] = []
  const waiting: { readonly path: string; readonly left: Tree | undefined; readonly right: Tree | undefined }[] = [
    { path: '', left: before, right: after },
  ]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, left, right } = next
    if (path !== '' && !isSame(left?.entry, right?.entry)) found.push({ path, before: left?.entry, after: right?.entry })
    for (const name of new Set([...(left?.children.keys() ?? []), ...(right?.children.keys() ?? [])]))
      waiting.push({ path: `${path}/${name}`, left: left?.children.get(name), right: right?.children.get(name) })
  }
  return found
}

function isSame(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.type === b.type && a.mode === b.mode && a.owner === b.owner && a.content === b.content
}
