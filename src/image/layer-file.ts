import { randomBytes } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, type Digest } from '#oci/digest.ts'
import { layerMediaType, type Compression } from '#oci/media-type.ts'
import type { Bytes, Source } from './content.ts'
import { decompress } from './decompress.ts'
import { readRange, withFileErrors, writeRange } from './file.ts'
import { observed, verified } from './read.ts'

/** A file with the bytes of a layer, which nobody else writes. */
export interface LayerFile {
  readonly digest: Digest
  readonly size: number
  readonly path: string
}

/** A layer that a person has as a file. Disposing it removes what was made for it. */
export interface GivenLayer extends AsyncDisposable {
  readonly descriptor: Descriptor
  readonly diffId: Digest
  readonly source: Source
}

/**
 * A tar of a person as a layer: one that is compressed (gzip, zstd) as it is, a plain one compressed with gzip.
 *
 * @param temporary The directory in which a compressed copy waits for its target
 * @throws StaveError `invalid-layer` for what is no tar, and what the operating system says
 */
export async function layerOfFile(cx: Context, path: string, temporary: string): Promise<GivenLayer> {
  return withFileErrors(`read ${path}`, async () => {
    const handle = await open(path, 'r')
    try {
      const { size } = await handle.stat()
      const compression = await compressionOfFile(handle)
      const plain = createHasher()
      const tar = checkedTar(path, decompress(cx, readRange(cx, handle, 0, size), compression))
      const file = await (compression === 'none'
        ? compressed(
            cx,
            observed(tar, (chunk) => plain.update(chunk)),
            temporary,
          )
        : hashed(
            cx,
            handle,
            size,
            path,
            observed(tar, (chunk) => plain.update(chunk)),
          ))
      const mediaType = layerMediaType(compression === 'none' ? 'gzip' : compression)!
      return {
        descriptor: { mediaType, digest: file.digest, size: file.size },
        diffId: plain.digest(),
        source: layerFiles(path, [file]),
        [Symbol.asyncDispose]: async () => {
          if (file.path !== path) await rm(file.path, { force: true })
        },
      }
    } finally {
      await handle.close()
    }
  })
}

async function compressed(cx: Context, tar: Bytes, temporary: string): Promise<LayerFile> {
  const path = join(temporary, `layer-${randomBytes(6).toString('hex')}`)
  const hasher = createHasher()
  const handle = await open(path, 'wx')
  try {
    const size = await writeRange(
      cx,
      handle,
      0,
      observed(compress(tar, 'gzip'), (chunk) => hasher.update(chunk)),
    )
    return { digest: hasher.digest(), size, path }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

async function hashed(cx: Context, handle: FileHandle, size: number, path: string, tar: Bytes): Promise<LayerFile> {
  for await (const _ of tar) cx.signal.throwIfAborted()
  const hasher = createHasher()
  for await (const chunk of readRange(cx, handle, 0, size)) hasher.update(chunk)
  return { digest: hasher.digest(), size, path }
}

async function compressionOfFile(handle: FileHandle): Promise<Compression> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0)
  const magic = buffer.subarray(0, bytesRead).toString('hex')
  return magic.startsWith('1f8b') ? 'gzip' : magic === '28b52ffd' ? 'zstd' : 'none'
}

/** The checksum of the first header, or an archive without entries. @see POSIX.1-2017, pax, "ustar Interchange Format" */
async function* checkedTar(path: string, tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let head: Uint8Array | undefined = new Uint8Array()
  for await (const chunk of tar) {
    if (head !== undefined) {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk])
      if (head.length >= 512) {
        if (!isTarHeader(head.subarray(0, 512))) throw notTar(path)
        head = undefined
      }
    }
    yield chunk
  }
  if (head !== undefined) throw notTar(path)
}

function isTarHeader(block: Uint8Array): boolean {
  if (block.every((byte) => byte === 0)) return true
  const said = Number.parseInt(Buffer.from(block.subarray(148, 156)).toString('latin1').trim(), 8)
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  return sum === said
}

function notTar(path: string): StaveError {
  return new StaveError('invalid-layer', `cannot use ${path} as a layer: it is no tar, plain or compressed with gzip or zstd`)
}

/** Compresses a stream. Its failure is that of what it reads. */
export function compress(tar: Bytes, compression: Compression, level?: number): Bytes {
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

/** A place that has these layers and nothing else. */
export function layerFiles(title: string, made: readonly LayerFile[]): Source {
  const byDigest = new Map(made.map((layer) => [layer.digest, layer] as const))
  const find = ({ digest }: Descriptor): LayerFile => {
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
  made: LayerFile,
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
