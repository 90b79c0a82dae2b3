import type { Bytes } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { StaveError } from '#error.ts'
import { parseDigest, type Digest } from '#oci/digest.ts'
import { compressionOf } from '#oci/media-type.ts'

/**
 * The bytes of a layer as they pass, and at their end an error if the tar in them is another than was said: an image
 * that names it wrongly could be built and pushed, and be unpacked nowhere.
 *
 * @throws StaveError `digest-mismatch`, `invalid-layer`
 */
export async function* checked(descriptor: Descriptor, diffID: Digest, bytes: Bytes): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(descriptor.mediaType)
  if (compression === 'none') {
    // Its digest is that of the tar: who writes it down verifies it.
    compare(descriptor, diffID, descriptor.digest)
    yield* bytes
    return
  }
  const unpack = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  const hash = createHash('sha256')
  unpack.on('data', (chunk: Buffer) => void hash.update(chunk))
  const failed = new Promise<never>((_, reject) => {
    unpack.once('error', (cause) => {
      reject(new StaveError('invalid-layer', `cannot use the layer ${descriptor.digest}: it is not compressed as it says`, { cause }))
    })
  })
  // It may fail while nobody waits for it.
  failed.catch(() => {})
  const ended = once(unpack, 'end')
  ended.catch(() => {})
  try {
    for await (const chunk of bytes) {
      if (!unpack.write(chunk)) await Promise.race([once(unpack, 'drain'), failed])
      yield chunk
    }
    unpack.end()
    await Promise.race([ended, failed])
  } finally {
    unpack.destroy()
  }
  compare(descriptor, diffID, parseDigest(`sha256:${hash.digest('hex')}`))
}

function compare(descriptor: Descriptor, said: Digest, actual: Digest): void {
  if (said !== actual)
    throw new StaveError('digest-mismatch', `cannot use the layer ${descriptor.digest}: its tar has the digest ${actual}, not ${said}`)
}
