import { closeSync, fstatSync, openSync, readFileSync, type BigIntStats } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestAlgorithm, digestOf, type Digest } from '#oci/digest.ts'
import type { Database } from './database.ts'
import { bootId } from './owner.ts'

/** Up to this size, reading at once is faster than one turn of the event loop. Manifests and configs are smaller. */
export const smallBytes = 256 * 1024
const chunkBytes = 256 * 1024
/** A file may be changed again within one tick of the clock of its times. */
const freshNs = 1_000_000_000n

/** Which small files were read and found right, as they are now: they need not be hashed again in this boot. */
export interface Known {
  has(digest: Digest, stat: BigIntStats): boolean
  add(digest: Digest, stat: BigIntStats): void
}

export function createKnown(database: Database): Known {
  // Nobody can set a file's change time.
  const stamp = (stat: BigIntStats) => `${bootId()} ${stat.dev} ${stat.ino} ${stat.ctimeNs} ${stat.size}`
  return {
    has: (digest, stat) => database.get('SELECT stamp FROM verified WHERE digest = ?', digest)?.['stamp'] === stamp(stat),
    add(digest, stat) {
      if (BigInt(Date.now()) * 1_000_000n - stat.ctimeNs < freshNs) return
      database.run('INSERT OR REPLACE INTO verified (digest, stamp) VALUES (?, ?)', digest, stamp(stat))
    },
  }
}

/** Reads a small blob as a stream of one piece. */
export async function* readSmall(known: Known, path: string, what: Descriptor): AsyncGenerator<Uint8Array> {
  const bytes = readBlob(known, path, what.digest, what.size)
  if (bytes.length !== what.size)
    throw new StaveError('size-mismatch', `cannot read ${what.digest} from the store: its size is not ${what.size} bytes`, damaged)
  yield bytes
}

/** Streams a file from byte `from` on; from the beginning, it fails at its end unless the content is that of the descriptor. */
export async function* readVerified(cx: Context, path: string, what: Descriptor, from: number, place: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new StaveError('blob-unknown', `cannot read ${what.digest}: ${place} does not have it`)
    throw error
  })
  const readAt = (position: number) => {
    // One byte more than there should be: a file that is too long shows itself.
    const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(chunkBytes, what.size - position + 1)))
    return file.read(buffer, 0, buffer.length, position)
  }
  let next: ReturnType<typeof readAt> | undefined
  try {
    const hasher = from === 0 ? createHasher(digestAlgorithm(what.digest)) : undefined
    let position = from
    for (;;) {
      cx.signal.throwIfAborted()
      const { bytesRead, buffer } = await (next ?? readAt(position))
      next = undefined
      if (bytesRead === 0) break
      position += bytesRead
      if (position > what.size) break
      // Read on while this piece is hashed and used.
      next = readAt(position)
      next.catch(() => {})
      const chunk = buffer.subarray(0, bytesRead)
      hasher?.update(chunk)
      yield chunk
    }
    if (position !== what.size)
      throw new StaveError('size-mismatch', `cannot read ${what.digest} from ${place}: its size is not ${what.size} bytes`, damaged)
    if (hasher !== undefined && hasher.digest() !== what.digest)
      throw new StaveError('digest-mismatch', `cannot read ${what.digest} from ${place}: its content is another`, damaged)
  } finally {
    await next?.catch(() => {})
    await file.close()
  }
}

const damaged = { hint: 'The file is damaged: stave doctor --verify --repair removes it, so that it can be fetched again.' }

/** Reads a small blob, verified. @throws StaveError `blob-unknown`, `too-large`, `digest-mismatch` */
export function readBlob(known: Known, path: string, digest: Digest, maxBytes: number): Uint8Array {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new StaveError('blob-unknown', `cannot read ${digest}: the store does not have it`)
    throw error
  }
  try {
    const stat = fstatSync(file, { bigint: true })
    if (stat.size > maxBytes)
      throw new StaveError('too-large', `cannot read ${digest}: it has ${stat.size} bytes, more than the ${maxBytes} that are allowed`)
    const bytes = readFileSync(file)
    if (known.has(digest, stat)) return bytes
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      throw new StaveError('digest-mismatch', `cannot read ${digest} from the store: its content is another`, damaged)
    known.add(digest, stat)
    return bytes
  } finally {
    closeSync(file)
  }
}
