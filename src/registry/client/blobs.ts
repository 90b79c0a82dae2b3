import { abortedError, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { release } from '#image/buffers.ts'
import type { Bytes } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestAlgorithm, type Digest } from '#oci/digest.ts'
import { isEncoded } from './encoding.ts'
import { type Response } from './message.ts'
import type { Endpoint } from './hosts.ts'
import { networkProblem } from './problem.ts'
import { deleteScope, pathOf, pullScope, pushScope, type Remote } from './remote.ts'
import { backoffMs, pause } from './retry.ts'

/** A connection may break this often without a mebibyte in between. */
const fruitlessResumes = 5
const progressBytes = 1024 * 1024

/**
 * Streams a blob, from byte `from` on, in one request. A connection that breaks is taken up again where it broke, by
 * a range; every byte is hashed once, so that it does not matter from where a part came.
 *
 * @throws StaveError `blob-unknown`, `denied`; at the end of the stream `digest-mismatch`, `size-mismatch`, `network`
 * @see distribution-spec, "Pulling blobs"; RFC 9110 §14
 */
export async function openBlob(cx: Context, remote: Remote, endpoint: Endpoint, what: Descriptor, from = 0): Promise<Bytes> {
  // Asking for a range that begins at the end is an error in HTTP.
  const first = from > 0 && from === what.size ? undefined : await getBlob(cx, remote, endpoint, what, from)
  const stream = resumable(cx, remote, endpoint, what, from, first)
  return from === 0 ? Object.assign(stream, { verifies: what.digest }) : stream
}

async function* resumable(
  cx: Context,
  remote: Remote,
  endpoint: Endpoint,
  what: Descriptor,
  from: number,
  first: Response | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hasher = from === 0 ? createHasher(digestAlgorithm(what.digest)) : undefined
  let position = from
  let failures = 0
  let failedAt = from
  let response = first
  while (response !== undefined) {
    // A server that does not know ranges sends the whole again.
    let skip = response.status === 206 ? 0 : position
    try {
      for await (const chunk of response.body) {
        if (skip >= chunk.length) {
          skip -= chunk.length
          release(chunk)
          continue
        }
        const bytes = skip === 0 ? chunk : chunk.subarray(skip)
        skip = 0
        position += bytes.length
        if (position > what.size) throw sizeMismatch(remote, what, `more than ${what.size} bytes`)
        hasher?.update(bytes)
        yield bytes
      }
      if (position === what.size) break
      throw new Error(`the connection ended after ${position} of ${what.size} bytes`)
    } catch (error) {
      if (cx.signal.aborted) throw abortedError(cx.signal)
      if (error instanceof StaveError) throw error
      failures = position - failedAt >= progressBytes ? 1 : failures + 1
      failedAt = position
      if (failures > fruitlessResumes) throw networkProblem(error, reading(remote, what), 'GET', response.url)
      await pause(cx, backoffMs(failures - 1, remote.retry))
      // Everything may have come before the connection broke.
      if (position === what.size) break
      response = await getBlob(cx, remote, endpoint, what, position)
    }
  }
  const actual = hasher?.digest()
  if (actual !== undefined && actual !== what.digest) {
    throw new StaveError('digest-mismatch', `${reading(remote, what)}: what came has the digest ${actual}`, {
      hint: 'It was damaged or exchanged on the way. Repeat it; if it stays so, the copy in the registry is broken.',
    })
  }
}

/** Asks for a blob from a byte on. A server may answer with all of it: then the status is 200. */
async function getBlob(cx: Context, remote: Remote, endpoint: Endpoint, what: Descriptor, from: number): Promise<Response> {
  const response = await remote.transport.send(cx, endpoint, {
    method: 'GET',
    to: pathOf(endpoint, `blobs/${what.digest}`),
    headers: from === 0 ? {} : { range: `bytes=${from}-` },
    scopes: pullScope(endpoint),
    expect: [200, 206],
    plainBytes: what.size,
    doing: reading(remote, what),
  })
  const isPart = response.status === 206
  if (isPart && Number(/^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1]) !== from) {
    await response.body.discard()
    throw new StaveError(
      'registry-problem',
      `${reading(remote, what)}: asked for bytes from ${from}, got ${response.headers['content-range'] ?? 'others'}`,
    )
  }
  const length = response.headers['content-length']
  const expected = isPart ? what.size - from : what.size
  if (isPart && isEncoded(response) && length !== `${expected}`) {
    // Compressed on the way, a part is one of other bytes.
    await response.body.discard()
    return getBlob(cx, remote, endpoint, what, 0)
  }
  if (length !== undefined && Number(length) !== expected) {
    await response.body.discard()
    throw sizeMismatch(remote, what, `${length} bytes instead of ${expected}`)
  }
  return response
}

/** Is a blob in the repository? One HEAD. */
export async function hasBlob(cx: Context, remote: Remote, digest: Digest): Promise<boolean> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `blobs/${digest}`),
    scopes: pushScope(endpoint),
    expect: [200, 404],
    doing: `cannot see whether ${remote.title} has ${digest}`,
  })
  await response.body.discard()
  return response.status === 200
}

/**
 * A blob's size, by one HEAD to where it is read from. A registry that does not say it is no help: nothing can be read
 * without knowing how much it is.
 *
 * @throws StaveError `blob-unknown`, `registry-problem`
 */
export async function describeBlob(cx: Context, remote: Remote, endpoint: Endpoint, digest: Digest): Promise<Descriptor> {
  const doing = `cannot read ${remote.title}@${digest}`
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `blobs/${digest}`),
    scopes: pullScope(endpoint),
    expect: [200],
    doing,
  })
  await response.body.discard()
  const size = Number(response.headers['content-length'] ?? Number.NaN)
  if (!Number.isSafeInteger(size)) throw new StaveError('registry-problem', `${doing}: the registry does not say how large it is`)
  return { mediaType: 'application/octet-stream', digest, size }
}

/** Removes a blob from the repository. @throws StaveError `blob-unknown`, `unsupported` */
export async function deleteBlob(cx: Context, remote: Remote, digest: Digest): Promise<void> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'DELETE',
    to: pathOf(endpoint, `blobs/${digest}`),
    scopes: deleteScope(endpoint),
    expect: [202, 204],
    doing: `cannot delete ${remote.title}@${digest}`,
  })
  await response.body.discard()
}

function reading(remote: Remote, what: Descriptor): string {
  return `cannot read ${remote.title}@${what.digest}`
}

function sizeMismatch(remote: Remote, what: Descriptor, found: string): StaveError {
  return new StaveError('size-mismatch', `${reading(remote, what)}: it has ${found}`)
}
