import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { extract, type Header } from 'tar-stream'

/** What a path of an image is. Compared field by field. */
export interface Entry {
  readonly type: string
  readonly mode: string
  readonly owner: string
  readonly size?: number
  readonly digest?: string
  readonly target?: string
  readonly device?: string
  /** The other names of the same file. */
  readonly links?: readonly string[]
  /** Values in base64. */
  readonly xattrs?: Readonly<Record<string, string>>
  /** Seconds. What was made during the build has no time that two builders could share. */
  readonly mtime: number | 'now'
}

/** Two paths with the same node are hard links of each other. */
interface Node extends Omit<Entry, 'links'> {
  /** Of small files, for expectations. */
  readonly content?: string
}

/** The tree of an image: its layers, applied one on the other by this reader of tars and by nobody's program under test. */
export type Tree = ReadonlyMap<string, Node>

/** By path: what a tree has that its base has not, or otherwise; and null for what is gone. */
export type Delta = Readonly<Record<string, Entry | null>>

/** Nothing that these tests write into a context is younger. */
const newest = 1_500_000_000
const keptBytes = 4096

/**
 * Applies layers to a tree. Whiteouts and opaque marks as the OCI image specification has them ("Representing changes").
 */
export async function applyLayer(
  below: Tree,
  layer: Readable,
  mediaType: string,
): Promise<{ readonly tree: Tree; readonly diffId: string }> {
  const tree = new Map(below)
  const added = new Set<string>()
  const tar = extract()
  const bytes = decompressed(layer, mediaType)
  const whole = createHash('sha256')
  const ended = pipeline(
    bytes,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        whole.update(chunk)
        yield chunk
      }
    },
    tar,
  )
  for await (const entry of tar) {
    const { header } = entry
    const hash = createHash('sha256')
    const kept: Buffer[] = []
    let size = 0
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      hash.update(chunk)
      if (size < keptBytes) kept.push(chunk)
      size += chunk.length
    }
    const path = posix.join('/', header.name).replace(/(.)\/$/, '$1')
    const name = posix.basename(path)
    const directory = posix.dirname(path)
    if (name === '.wh..wh..opq') {
      for (const other of tree.keys()) if (isBelow(other, directory) && !added.has(other)) tree.delete(other)
    } else if (name.startsWith('.wh.')) remove(tree, posix.join(directory, name.slice(4)))
    else {
      addParents(tree, directory)
      const node = nodeOf(
        header,
        size,
        `sha256:${hash.digest('hex')}`,
        tree,
        size <= keptBytes ? Buffer.concat(kept).toString() : undefined,
      )
      if (node.type !== 'directory' || tree.get(path)?.type !== 'directory') remove(tree, path)
      tree.set(path, node)
      added.add(path)
    }
  }
  await ended
  return { tree, diffId: `sha256:${whole.digest('hex')}` }
}

function decompressed(layer: Readable, mediaType: string): Readable {
  const packed = mediaType.endsWith('gzip') ? createGunzip() : mediaType.endsWith('zstd') ? createZstdDecompress() : undefined
  if (packed === undefined) return layer
  layer.on('error', (error) => packed.destroy(error))
  return layer.pipe(packed)
}

function nodeOf(header: Header, size: number, digest: string, tree: Tree, content: string | undefined): Node {
  if (header.type === 'link') {
    const target = tree.get(posix.join('/', header.linkname ?? ''))
    if (target === undefined) throw new Error(`the hard link ${header.name} names ${header.linkname}, which is not there`)
    return target
  }
  const xattrs = Object.fromEntries(
    Object.entries(header.pax ?? {})
      .filter(([key]) => key.startsWith('SCHILY.xattr.'))
      .map(([key, value]) => [key.slice(13), Buffer.from(value).toString('base64')]),
  )
  const seconds = Math.floor((header.mtime?.getTime() ?? 0) / 1000)
  const type = header.type ?? 'file'
  return {
    type: type.endsWith('-device') ? type.slice(0, -7) : type,
    mode: ((header.mode ?? 0) & 0o7777).toString(8).padStart(4, '0'),
    owner: `${header.uid ?? 0}:${header.gid ?? 0}`,
    ...(type === 'file' ? { size, digest, ...(content !== undefined && { content }) } : {}),
    ...(type === 'symlink' ? { target: header.linkname ?? '' } : {}),
    ...(type.endsWith('-device') ? { device: `${header.devmajor}:${header.devminor}` } : {}),
    ...(Object.keys(xattrs).length > 0 ? { xattrs } : {}),
    mtime: seconds > newest ? 'now' : seconds,
  }
}

/** What a layer does not name but needs: as every unpacker makes it. */
function addParents(tree: Map<string, Node>, directory: string): void {
  if (directory === '/' || tree.get(directory)?.type === 'directory') return
  addParents(tree, posix.dirname(directory))
  if (tree.get(directory) === undefined) tree.set(directory, { type: 'directory', mode: '0755', owner: '0:0', mtime: 'now' })
}

function isBelow(path: string, directory: string): boolean {
  return path !== directory && path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

function remove(tree: Map<string, Node>, path: string): void {
  if (!tree.delete(path)) return
  for (const other of tree.keys()) if (isBelow(other, path)) tree.delete(other)
}

/** What a tree has that its base has not, or otherwise; and null for what is gone. The root directory's time is nobody's. */
export function delta(tree: Tree, base: Tree): Delta {
  const found: [string, Entry | null][] = []
  for (const [path, node] of tree) {
    const before = base.get(path)
    const entry = entryOf(tree, path, node)
    if (before !== undefined && isDeepStrictEqual(entry, before === node && !isLinked(base, node) ? entry : entryOf(base, path, before)))
      continue
    found.push([path, path === '/' ? { ...entry, mtime: 'now' } : entry])
  }
  for (const path of base.keys()) if (!tree.has(path) && tree.has(posix.dirname(path))) found.push([path, null])
  return Object.fromEntries(found.sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** The content of a small file. */
export function contentAt(tree: Tree, path: string): string | undefined {
  return tree.get(path)?.content
}

const groupsOf = new WeakMap<Tree, ReadonlyMap<Node, readonly string[]>>()

/** The names of each file that has several. */
function linkGroups(tree: Tree): ReadonlyMap<Node, readonly string[]> {
  const known = groupsOf.get(tree)
  if (known !== undefined) return known
  const groups = new Map<Node, string[]>()
  for (const [path, node] of tree) {
    if (node.type !== 'file') continue
    const group = groups.get(node)
    if (group === undefined) groups.set(node, [path])
    else group.push(path)
  }
  for (const [node, paths] of groups) {
    if (paths.length === 1) groups.delete(node)
    else paths.sort()
  }
  groupsOf.set(tree, groups)
  return groups
}

function isLinked(tree: Tree, node: Node): boolean {
  return linkGroups(tree).has(node)
}

function entryOf(tree: Tree, path: string, node: Node): Entry {
  const { content: _content, mtime, ...rest } = node
  const links = linkGroups(tree)
    .get(node)
    ?.filter((other) => other !== path)
  return { ...rest, ...(links !== undefined && { links }), mtime }
}
