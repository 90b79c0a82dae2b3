import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { withSignal, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestHex, type Digest } from '#oci/digest.ts'
import { compressionOf, formatOf, isForeignLayer, isLayer, layerMediaType, type Compression } from '#oci/media-type.ts'
import type { Bytes, Source } from './content.ts'
import { convertEntries, type Converted } from './convert.ts'
import { decompress } from './decompress.ts'
import { readRange, withFileErrors, writeRange } from './file.ts'
import { encode, parseKeeping, patch, type JsonObject } from './json.ts'
import { overlay } from './overlay.ts'
import { forEachBounded } from './pool.ts'
import { verified } from './read.ts'
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
    const made = new Map<Digest, Made>()
    const abort = new AbortController()
    const inner = withSignal(cx, abort.signal)
    const work = async (layer: Descriptor) => void made.set(layer.digest, await remake(inner, source, layer, directory, options))
    await forEachBounded([...layers.values()], 2, work, (reason) => abort.abort(reason))
    const files = fileSource(source.title, [...made.values()])
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

  function relabel(manifest: JsonObject, made: ReadonlyMap<Digest, Made>, { mediaType }: Descriptor): readonly JsonObject[] {
    return ((manifest['layers'] ?? []) as readonly JsonObject[]).map((layer) => {
      const other = made.get(layer['digest'] as Digest)
      return other === undefined
        ? layer
        : patch(layer, { mediaType: typeOrFail(options.compression, mediaType), digest: other.digest, size: other.size })
    })
  }
}

interface Made {
  readonly digest: Digest
  readonly size: number
  readonly path: string
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

async function remake(cx: Context, source: Source, layer: Descriptor, directory: string, options: RecompressOptions): Promise<Made> {
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
        observed(compress(tar, options), (chunk) => hasher.update(chunk)),
      )
      return { digest: hasher.digest(), size, path }
    } finally {
      await handle.close()
    }
  })
}

function compress(tar: Bytes, { compression, level }: RecompressOptions): Bytes {
  if (compression === 'none') return tar
  const transform: Transform =
    compression === 'gzip'
      ? createGzip(level === undefined ? {} : { level })
      : createZstdCompress(level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel]: level } })
  // Not `pipeline`, whose failure is the stream's premature end and not what the source said.
  const readable = Readable.from(tar, { objectMode: false })
  readable.once('error', (error) => transform.destroy(error))
  transform.once('close', () => readable.destroy())
  return readable.pipe(transform) as AsyncIterable<Buffer>
}

async function* observed(bytes: Bytes, see: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    see(chunk)
    yield chunk
  }
}

/** The new layers: files that nobody else writes. */
function fileSource(title: string, made: readonly Made[]): Source {
  const byDigest = new Map(made.map((layer) => [layer.digest, layer] as const))
  const find = ({ digest }: Descriptor): Made => {
    const found = byDigest.get(digest)
    if (found === undefined) throw new StaveError('blob-unknown', `cannot read ${digest}: it is not in ${title}`)
    return found
  }
  return {
    title,
    resolve: async (_cx, name) => {
      throw new StaveError('not-found', `cannot find ${name} in ${title}: its layers have no names`)
    },
    open: async (cx, what, from = 0) => stream(cx, find(what), what, from, title),
    file: (what) => byDigest.get(what.digest)?.path,
    async [Symbol.asyncDispose]() {},
  }
}

async function* stream(
  cx: Context,
  made: Made,
  what: Descriptor,
  from: number,
  title: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(made.path, 'r')
  try {
    const bytes = readRange(cx, handle, from, made.size - from)
    yield* from > 0 ? bytes : verified(bytes, what, title)
  } finally {
    await handle.close()
  }
}
