import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'

const decoders: readonly (readonly [magic: string, make: () => NodeJS.ReadWriteStream])[] = [
  ['1f8b', createGunzip],
  ['28b52ffd', createZstdDecompress],
]

/**
 * The time of the newest regular file in an archive (plain, gzip or zstd), in seconds since 1970. Undefined for what is no
 * such archive, or has none.
 *
 * @see BuildKit: SOURCE_DATE_EPOCH of what a server sends without Last-Modified
 */
export async function newestFile(path: string): Promise<number | undefined> {
  const { extract } = await import('tar-stream')
  const decoder = await decoderOf(path)
  let newest: number | undefined
  const entries = extract()
  entries.on('entry', ({ type, mtime }, content, next) => {
    const seconds = Math.floor((mtime?.getTime() ?? Number.NaN) / 1000)
    if (type === 'file' && seconds >= 0 && seconds > (newest ?? -1)) newest = seconds
    content.on('end', next).resume()
  })
  try {
    const source = createReadStream(path)
    await (decoder === undefined ? pipeline(source, entries) : pipeline(source, decoder(), entries))
    return newest
  } catch {
    // Not an archive, or one of another kind: then it has no time, which is said.
    return undefined
  }
}

async function decoderOf(path: string): Promise<(() => NodeJS.ReadWriteStream) | undefined> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
  const head = buffer.subarray(0, bytesRead).toString('hex')
  return decoders.find(([magic]) => head.startsWith(magic))?.[1]
}
