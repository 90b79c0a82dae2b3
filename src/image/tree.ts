import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { extract, type Header } from 'tar-stream'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import { decompress } from '#image/decompress.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { compressionOf } from '#oci/media-type.ts'

/** A file of an image, as layers describe it. Times are left out: they change with each build. */
export interface TreeEntry {
  readonly type: string
  /** Octal, without the type. */
  readonly mode: string
  /** `uid:gid` */
  readonly owner: string
  readonly size: number
  /** SHA-256 of its bytes, of a symbolic link what it leads to. */
  readonly content: string
}

/** A directory, or what is below one. */
export interface Tree {
  entry: TreeEntry | undefined
  readonly children: Map<string, Tree>
}

const whiteout = '.wh.'
const opaque = '.wh..wh..opq'

export function emptyTree(): Tree {
  return { entry: undefined, children: new Map() }
}

export function cloneTree({ entry, children }: Tree): Tree {
  return { entry, children: new Map([...children].map(([name, child]) => [name, cloneTree(child)])) }
}

/**
 * Lays a layer over a tree, from its tar alone: nothing is written anywhere.
 *
 * @throws StaveError `invalid-layer`, `too-large`
 * @see image-spec, "Image Layer Filesystem Changeset"
 */
export async function applyLayer(cx: Context, tree: Tree, source: Source, layer: Descriptor): Promise<void> {
  const entries: { readonly path: readonly string[]; readonly entry: TreeEntry; readonly link: readonly string[] | undefined }[] = []
  for await (const { header, content } of membersOf(cx, source, layer)) {
    const path = partsOf(header.name)
    const name = path.at(-1)
    if (entries.length >= limit.archiveEntries)
      throw new StaveError('too-large', `cannot read the layer ${layer.digest}: it has too many files`)
    // What a layer takes away is of those below it, wherever in the layer that is said.
    if (name === opaque) find(tree, path.slice(0, -1))?.children.clear()
    else if (name?.startsWith(whiteout)) find(tree, path.slice(0, -1))?.children.delete(name.slice(whiteout.length))
    else if (name !== undefined)
      entries.push({ path, entry: entryOf(header, content), link: header.type === 'link' ? partsOf(header.linkname ?? '') : undefined })
  }
  for (const { path, entry, link } of entries) {
    const target = link === undefined ? undefined : find(tree, link)?.entry
    const node = make(tree, path)
    node.entry = target ?? entry
    if (entry.type !== 'directory') node.children.clear()
  }
}

/** `..` leads no higher than the root, and names are taken for what they mean. */
function partsOf(name: string): readonly string[] {
  const parts: string[] = []
  for (const part of name.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts
}

function find(tree: Tree, path: readonly string[]): Tree | undefined {
  let at: Tree | undefined = tree
  for (const part of path) at = at?.children.get(part)
  return at
}

function make(tree: Tree, path: readonly string[]): Tree {
  let at = tree
  for (const part of path) {
    let next = at.children.get(part)
    if (next === undefined) {
      next = emptyTree()
      at.children.set(part, next)
    }
    at = next
  }
  return at
}

function entryOf(header: Header, content: string): TreeEntry {
  const type = header.type === 'contiguous-file' || header.type === null || header.type === undefined ? 'file' : header.type
  return {
    type,
    mode: ((header.mode ?? 0) & 0o7777).toString(8).padStart(4, '0'),
    owner: `${header.uid ?? 0}:${header.gid ?? 0}`,
    size: type === 'file' ? (header.size ?? 0) : 0,
    content: type === 'symlink' ? (header.linkname ?? '') : content,
  }
}

async function* membersOf(
  cx: Context,
  source: Source,
  layer: Descriptor,
): AsyncGenerator<{ readonly header: Header; readonly content: string }, void, undefined> {
  const archive = extract()
  const bytes = decompress(cx, await source.open(cx, layer), compressionOf(layer.mediaType))
  // Its failure is also that of the loop below, which is told first.
  const reading = pipeline(Readable.from(bytes, { objectMode: false }), archive, { signal: cx.signal })
  reading.catch(() => {})
  try {
    for await (const member of archive) {
      const hash = createHash('sha256')
      for await (const chunk of member) hash.update(chunk as Uint8Array)
      yield { header: member.header, content: hash.digest('hex') }
    }
    await reading
  } catch (cause) {
    if (cause instanceof StaveError) throw cause
    cx.signal.throwIfAborted()
    throw new StaveError('invalid-layer', `cannot read the layer ${layer.digest}: it is no tar`, { cause })
  }
}
