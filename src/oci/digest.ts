import { createHash, type Hash } from 'node:crypto'
import { StaveError } from '#error.ts'

declare const brand: unique symbol

/** `algorithm:hex`, validated: made only by {@link parseDigest} or a {@link Hasher}. */
export type Digest = string & { readonly [brand]: true }

const hexLength: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 }

/**
 * Checks and brands a digest.
 *
 * @throws StaveError `invalid-digest`
 * @see image-spec, "Digests"
 */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':')
  const length = hexLength[text.slice(0, colon)]
  const hex = text.slice(colon + 1)
  if (length === undefined)
    throw new StaveError('invalid-digest', `cannot use digest ${JSON.stringify(text)}: its algorithm is not sha256 or sha512`)
  if (hex.length !== length || !/^[0-9a-f]*$/.test(hex))
    throw new StaveError('invalid-digest', `cannot use digest ${JSON.stringify(text)}: expected ${length} lower-case hexadecimal digits`)
  return text as Digest
}

export function isDigest(text: string): text is Digest {
  try {
    parseDigest(text)
    return true
  } catch {
    return false
  }
}

/** The part before the colon. */
export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The part after the colon. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Computes a digest over bytes given one by one. */
export interface Hasher {
  update(bytes: Uint8Array): void
  readonly size: number
  digest(): Digest
}

export function createHasher(algorithm: 'sha256' | 'sha512' = 'sha256'): Hasher {
  const hash: Hash = createHash(algorithm)
  let size = 0
  return {
    update(bytes) {
      hash.update(bytes)
      size += bytes.length
    },
    get size() {
      return size
    },
    digest: () => `${algorithm}:${hash.digest('hex')}` as Digest,
  }
}

/** The digest of bytes, or of text in UTF-8. */
export function digestOf(bytes: Uint8Array | string, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}
