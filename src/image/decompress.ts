import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Compression } from '#oci/media-type.ts'
import type { Bytes } from './content.ts'

/**
 * Decompresses a stream: all members of a gzip file, all frames of a zstd one. It fails if the stream ends too early;
 * errors of the stream that is read come through as they are.
 *
 * @throws StaveError `invalid-layer`
 */
export async function* decompress(cx: Context, bytes: Bytes, compression: Compression): AsyncGenerator<Uint8Array, void, undefined> {
  if (compression === 'none') {
    yield* bytes
    return
  }
  const transform: Transform = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  let sourceFailure: { readonly error: unknown } | undefined
  const source = (async function* () {
    try {
      yield* bytes
    } catch (error) {
      sourceFailure = { error }
      throw error
    }
  })()
  const done = pipeline(Readable.from(source, { objectMode: false }), transform, { signal: cx.signal })
  // Awaited below, unless the loop fails first.
  done.catch(() => {})
  try {
    yield* transform as AsyncIterable<Buffer>
    await done
  } catch (cause) {
    if (sourceFailure !== undefined) throw sourceFailure.error
    cx.signal.throwIfAborted()
    throw new StaveError('invalid-layer', `cannot decompress the content: it is not whole ${compression} data`, { cause })
  }
}
