import { pipeline, Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import type { Response } from './message.ts'

const decoders: Readonly<Record<string, () => NodeJS.ReadWriteStream>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/** Is the body compressed on the way (RFC 9110 §8.4), in a way that is understood? Others are left as they are: `aws-chunked` is none. */
export function isEncoded({ headers }: Pick<Response, 'headers'>): boolean {
  return headers['content-encoding'] !== undefined && Object.hasOwn(decoders, headers['content-encoding'].toLowerCase())
}

/**
 * The response with the body that its sender meant. Nobody asks for an encoding here, but there are servers and proxies
 * that compress all the same, and every client of Go's understands them. The length that was said is that of the encoded
 * body, so it goes. A part (206) of an encoded body stays as it is.
 *
 * @param plainBytes A body that is said to have just this length is what was asked for, and only labelled with what it
 *   contains: stores of blobs do so with layers that are gzip themselves.
 */
export function decoded(response: Response, plainBytes?: number): Response {
  const { method, status, headers } = response
  const isPlain = plainBytes !== undefined && headers['content-length'] === `${plainBytes}`
  if (!isEncoded(response) || isPlain || method === 'HEAD' || status === 206) return response
  const plain = (decoders[headers['content-encoding']!.toLowerCase()] as () => NodeJS.ReadWriteStream)()
  // Who reads it gets the error.
  pipeline(Readable.from(response.body, { objectMode: false }), plain, () => undefined)
  const { 'content-encoding': _encoding, 'content-length': _length, ...rest } = headers
  const body = {
    // The rest is in the connection: it is read, or the connection closed, there.
    discard: () => response.body.discard(),
    [Symbol.asyncIterator]: () => (plain as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator](),
  }
  return { ...response, headers: rest, body }
}
