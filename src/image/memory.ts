import { StaveError } from '#error.ts'
import { isDigest, type Digest, digestOf } from '#oci/digest.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { sniffMediaType } from '#oci/manifest.ts'
import type { Target } from './content.ts'
import { verified, once } from './read.ts'
import { referrerOf } from './referrer.ts'

/** A place in memory: for small documents made by this process, and for tests. */
export interface Memory extends Target {
  /** Puts bytes in and gives their descriptor. */
  put(bytes: Uint8Array, mediaType: string): Descriptor
  readonly blobs: ReadonlyMap<Digest, Uint8Array>
  readonly names: ReadonlyMap<string, Descriptor>
}

/** Makes an empty place in memory. */
export function memory(title = 'memory'): Memory {
  const blobs = new Map<Digest, Uint8Array>()
  const names = new Map<string, Descriptor>()

  const find = (digest: Digest): Uint8Array => {
    const bytes = blobs.get(digest)
    if (bytes === undefined) throw new StaveError('blob-unknown', `cannot read ${digest}: it is not in ${title}`)
    return bytes
  }

  return {
    title,
    blobs,
    names,
    put(bytes, mediaType) {
      const digest = digestOf(bytes)
      blobs.set(digest, bytes)
      return { mediaType, digest, size: bytes.length }
    },
    async resolve(_cx, name) {
      const named = names.get(name)
      if (named !== undefined) return named
      if (isDigest(name) && blobs.has(name)) {
        const bytes = find(name)
        return { mediaType: sniffMediaType(bytes), digest: name, size: bytes.length }
      }
      throw new StaveError('not-found', `cannot find ${JSON.stringify(name)} in ${title}`)
    },
    async open(_cx, what, from = 0) {
      const bytes = find(what.digest)
      return from > 0 ? once(bytes.subarray(from)) : verified(once(bytes), what, title)
    },
    async referrers(_cx, subject) {
      return [...blobs].flatMap(([digest, bytes]) => {
        const referrer = referrerOf(subject, { mediaType: '', digest, size: bytes.length }, bytes)
        return referrer === undefined ? [] : [referrer]
      })
    },
    async has(_cx, what) {
      return blobs.get(what.digest)?.length === what.size
    },
    async write(cx, what, bytes) {
      const chunks: Uint8Array[] = []
      for await (const chunk of verified(bytes, what, title)) {
        cx.signal.throwIfAborted()
        chunks.push(chunk)
      }
      blobs.set(what.digest, Buffer.concat(chunks))
    },
    async name(_cx, root, name) {
      find(root.digest)
      names.set(name, root)
    },
    async [Symbol.asyncDispose]() {},
  }
}
