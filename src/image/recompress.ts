import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { withSignal, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestHex, type Digest } from '#oci/digest.ts'
import { compressionOf, formatOf, isForeignLayer, isLayer, layerMediaType, type Compression } from '#oci/media-type.ts'
import type { Source } from './content.ts'
import { convertEntries, type Converted } from './convert.ts'
import { decompress } from './decompress.ts'
import { withFileErrors, writeRange } from './file.ts'
import { encode, parseKeeping, patch, type JsonObject } from './json.ts'
import { compress, type LayerFile, layerFiles } from './layer-file.ts'
import { overlay } from './overlay.ts'
import { forEachBounded } from './pool.ts'
import { observed, verified } from './read.ts'
import { leavesFirst, walk } from './walk.ts'

export interface RecompressOptions {
  readonly compression: Compression
  /** Leave layers alone that are compressed, however. */
  readonly onlyPlain?: boolean
  /** Default: that of the program that compresses. */
  readonly level?: number
  /** Where layers wait for their target: their digests are known only when they are whole. */
  readonly temporary: string
}

/** Valid until it is disposed, which removes the files. */
export type Recompressed = Converted & AsyncDisposable

/**
 * Turns an image, or an index with all that it has, into one whose layers are compressed in another way. What is
 * compressed so already stays as it is; configs stay, so images keep their IDs; manifests of changed layers get other
 * digests. Foreign layers and what is no layer of a file system are left alone.
 *
 * @throws StaveError `unsupported` (Docker has no name for zstd), `invalid-layer`, and what the source throws
 */
export async function recompress(cx: Context, source: Source, root: Descriptor, options: RecompressOptions): Promise<Recompressed> {
  const nodes = leavesFirst(await walk(cx, source, root))
  const layers = new Map<Digest, Descriptor>()
  for (const node of nodes) for (const blob of node.blobs) if (isOther(blob, options)) layers.set(blob.digest, blob)

  const directory = await withFileErrors(`make a directory in ${options.temporary}`, () => mkdtemp(join(options.temporary, 'recompress-')))
  const dispose = () => rm(directory, { recursive: true, force: true })
  try {
    const made = new Map<Digest, LayerFile>()
    const abort = new AbortController()
    const inner = withSignal(cx, abort.signal)
    const work = async (layer: Descriptor) => void made.set(layer.digest, await remake(inner, source, layer, directory, options))
    await forEachBounded([...layers.values()], 2, work, (reason) => abort.abort(reason))
    const files = layerFiles(source.title, [...made.values()])
    const place = overlay(source.title, new Map([...made.values()].map(({ digest }) => [digest, files] as const)), source)
    const converted = new Map<Digest, Descriptor>()
    for (const { descriptor, document } of nodes) {
      const before = parseKeeping(document.raw)
      const after =
        document.kind === 'index' ? { manifests: convertEntries(before, converted) } : { layers: relabel(before, made, descriptor) }
      const bytes = encode(patch(before, after))
      const same = Buffer.from(encode(before)).equals(bytes)
      converted.set(descriptor.digest, same ? descriptor : place.top.put(bytes, descriptor.mediaType))
    }
    return { source: place, descriptor: { ...root, ...converted.get(root.digest)! }, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }

  function relabel(manifest: JsonObject, made: ReadonlyMap<Digest, LayerFile>, { mediaType }: Descriptor): readonly JsonObject[] {
    return ((manifest['layers'] ?? []) as readonly JsonObject[]).map((layer) => {
      const other = made.get(layer['digest'] as Digest)
      return other === undefined
        ? layer
        : patch(layer, { mediaType: typeOrFail(options.compression, mediaType), digest: other.digest, size: other.size })
    })
  }
}

function isOther({ mediaType }: Descriptor, { compression, onlyPlain = false }: RecompressOptions): boolean {
  if (!isLayer(mediaType) || isForeignLayer(mediaType)) return false
  const now = compressionOf(mediaType)
  return onlyPlain ? now === 'none' && compression !== 'none' : now !== compression
}

function typeOrFail(compression: Compression, manifestType: string): string {
  const type = layerMediaType(compression, formatOf(manifestType))
  if (type !== undefined) return type
  throw new StaveError('unsupported', `cannot compress layers with ${compression} in Docker's format: it has no name for that`, {
    hint: 'Use --format oci too.',
  })
}

async function remake(cx: Context, source: Source, layer: Descriptor, directory: string, options: RecompressOptions): Promise<LayerFile> {
  const origin = source.origin?.(layer) ?? source
  const tar = decompress(cx, verified(await origin.open(cx, layer), layer, origin.title), compressionOf(layer.mediaType))
  const path = join(directory, digestHex(layer.digest))
  const hasher = createHasher()
  return withFileErrors(`compress ${layer.digest} again in ${directory}`, async () => {
    const handle = await open(path, 'wx')
    try {
      const size = await writeRange(
        cx,
        handle,
        0,
        observed(compress(tar, options.compression, options.level), (chunk) => hasher.update(chunk)),
      )
      return { digest: hasher.digest(), size, path }
    } finally {
      await handle.close()
    }
  })
}
