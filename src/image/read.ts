import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestAlgorithm, digestOf } from '#oci/digest.ts'
import type { Bytes, Source } from './content.ts'

/**
 * Reads content into memory, verified. Bytes that the descriptor carries itself are taken from there.
 *
 * @throws StaveError `too-large`, and what the source throws
 */
export async function readAll(cx: Context, source: Source, what: Descriptor, maxBytes: number): Promise<Uint8Array> {
  if (what.size > maxBytes) {
    throw new StaveError(
      'too-large',
      `cannot read ${what.digest} of ${source.title}: it has ${what.size} bytes, more than the ${maxBytes} that are allowed`,
    )
  }
  const embedded = embeddedData(what)
  if (embedded !== undefined) return embedded
  const chunks: Uint8Array[] = []
  for await (const chunk of verified(await source.open(cx, what), what, source.title)) chunks.push(chunk)
  return Buffer.concat(chunks, what.size)
}

/** The content in a descriptor's `data`, if it is what the digest says. Else the source has to say what is right. */
export function embeddedData(what: Descriptor): Uint8Array | undefined {
  if (what.data === undefined) return undefined
  const bytes = Buffer.from(what.data, 'base64')
  return bytes.length === what.size && digestOf(bytes, digestAlgorithm(what.digest)) === what.digest ? bytes : undefined
}

/**
 * Passes bytes through and fails if they are not what a descriptor names: as soon as there are too many, at the end
 * if they are others.
 *
 * @throws StaveError `size-mismatch`, `digest-mismatch`
 */
export async function* verified(bytes: Bytes, what: Descriptor, title: string): AsyncGenerator<Uint8Array, void, undefined> {
  // The place that it comes from may verify it already.
  const hasher = bytes.verifies === what.digest ? undefined : createHasher(digestAlgorithm(what.digest))
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > what.size) {
      throw new StaveError(
        'size-mismatch',
        `cannot use ${what.digest} from ${title}: it has more than the ${what.size} bytes that it should have`,
      )
    }
    hasher?.update(chunk)
    yield chunk
  }
  if (size !== what.size)
    throw new StaveError('size-mismatch', `cannot use ${what.digest} from ${title}: it has ${size} bytes instead of ${what.size}`)
  const actual = hasher?.digest()
  if (actual !== undefined && actual !== what.digest) {
    throw new StaveError('digest-mismatch', `cannot use ${what.digest} from ${title}: the content has the digest ${actual}`, {
      hint: 'It was damaged or exchanged on the way. Repeat it; if it stays so, the copy there is broken.',
    })
  }
}

/** Bytes of a stream that is started at byte `from`. */
export async function* skip(bytes: Bytes, from: number): AsyncGenerator<Uint8Array, void, undefined> {
  let left = from
  for await (const chunk of bytes) {
    if (left >= chunk.length) {
      left -= chunk.length
      continue
    }
    yield left === 0 ? chunk : chunk.subarray(left)
    left = 0
  }
}

/** Shows bytes to somebody on their way. */
export async function* observed(bytes: Bytes, see: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    see(chunk)
    yield chunk
  }
}

/** Bytes that are in memory already, as one piece. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  if (bytes.length > 0) yield bytes
}
