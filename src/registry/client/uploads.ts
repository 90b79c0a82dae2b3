import type { Context } from '#context.ts'
import { StaveError, hasCode } from '#error.ts'
import type { Bytes } from '#image/content.ts'
import { skip, verified } from '#image/read.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import * as limit from '#limit.ts'
import { hasBlob } from './blobs.ts'
import type { Response, StreamBody } from './message.ts'
import { redactUrl } from './problem.ts'
import { mayLeadTo } from './reach.ts'
import { pathOf, pushScope, type Remote } from './remote.ts'
import { backoffMs, isWorthRestart, pause } from './retry.ts'

/** An upload that the registry has begun. */
export interface Session {
  /** Changes with each answer; only the newest is valid. */
  readonly location: URL
  readonly minChunkBytes: number
}

/** Gives the content from a byte on. What can be opened only once fails the second time. */
export interface Content {
  open(from: number): Promise<Bytes>
  readonly isReopenable: boolean
}

/** Up to this size a blob is read and checked before it is sent: it can then be sent again. */
const bufferedBytes = 1024 * 1024
/** Below this size a broken upload is begun anew instead of asking how far it came. */
const resumableBytes = 8 * 1024 * 1024
const chunkBytes = 16 * 1024 * 1024

/**
 * Uploads a blob: POST for a session, PUT with the whole. Two requests; the bytes stream from the source to the
 * socket. What breaks off is resumed where the registry can tell how much it has, else begun anew; a registry or
 * proxy that refuses so large a body gets chunks.
 *
 * The bytes are hashed by where they come from (`Bytes.verifies`, or here), and by the registry, which compares
 * them with the `digest` parameter before it shows the blob to anybody.
 *
 * @see distribution-spec, "Pushing blobs"
 */
export async function uploadBlob(cx: Context, remote: Remote, what: Descriptor, content: Content, begun?: Session): Promise<void> {
  let session = begun
  let inChunks = false
  const whole = what.size > bufferedBytes ? undefined : await readWhole(remote, what, await content.open(0))
  const isReopenable = whole !== undefined || content.isReopenable
  for (let attempt = 0; ; attempt++) {
    let current: Session | undefined
    try {
      current = session ?? (await startUpload(cx, remote, what))
      if (inChunks) await putChunks(cx, remote, what, content, current)
      else await putWhole(cx, remote, what, whole ?? (await streamOf(remote, what, content, 0)), current)
      return
    } catch (error) {
      session = undefined
      if (cx.signal.aborted || !isReopenable || attempt + 1 >= remote.retry.attempts) throw error
      if (hasCode(error, 'too-large') && !inChunks && what.size > chunkBytes) {
        inChunks = true
        continue
      }
      // An upload may outlive its token, and a session its registry: both are good for another try.
      const mayRestart =
        (isWorthRestart(error) && !(whole !== undefined && hasCode(error, 'timeout'))) ||
        (attempt === 0 && hasCode(error, 'unauthorized', 'not-found'))
      if (!mayRestart) throw error
      await pause(cx, backoffMs(attempt, remote.retry))
      if (await hasBlob(cx, remote, what.digest)) return
      if (whole === undefined && current !== undefined && what.size >= resumableBytes)
        if (await resume(cx, remote, what, content, current)) return
    }
  }
}

/**
 * Has the registry take a blob over from another of its repositories. The answer may be a session instead, which
 * means that it did not, and saves the request that would begin one.
 *
 * @see distribution-spec, "Mounting a blob from another repository"
 */
export async function mountBlob(
  cx: Context,
  remote: Remote,
  what: Descriptor,
  repository: string,
): Promise<Session | 'mounted' | undefined> {
  const { endpoint } = remote
  const query = new URLSearchParams({ mount: what.digest, from: repository })
  try {
    const response = await remote.transport.send(cx, endpoint, {
      method: 'POST',
      to: `${pathOf(endpoint, 'blobs/uploads/')}?${query.toString()}`,
      scopes: [...pushScope(endpoint), { type: 'repository', name: repository, actions: ['pull'] }],
      expect: [201, 202],
      doing: `cannot mount ${what.digest} from ${repository} into ${remote.title}`,
    })
    await response.body.discard()
    return response.status === 201 ? 'mounted' : sessionOf(remote, what, response)
  } catch (error) {
    // Some registries answer with an error to what they cannot or may not mount; uploading still works.
    if (cx.signal.aborted || !(error instanceof StaveError) || hasCode(error, 'network', 'tls', 'timeout', 'too-many-requests')) throw error
    return undefined
  }
}

async function startUpload(cx: Context, remote: Remote, what: Descriptor): Promise<Session> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'POST',
    to: pathOf(endpoint, 'blobs/uploads/'),
    scopes: pushScope(endpoint),
    expect: [202],
    doing: pushing(remote, what),
  })
  await response.body.discard()
  return sessionOf(remote, what, response)
}

async function putWhole(cx: Context, remote: Remote, what: Descriptor, body: Uint8Array | StreamBody, session: Session): Promise<void> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'PUT',
    to: withDigest(session.location, what),
    headers: { 'content-type': 'application/octet-stream' },
    body,
    scopes: pushScope(endpoint),
    expect: [201, 204],
    repeat: false,
    isSlow: what.size > bufferedBytes,
    doing: pushing(remote, what),
  })
  await response.body.discard()
  const stored = response.headers['docker-content-digest']
  // A registry may keep another algorithm's digest; of the same one it must be the same.
  if (stored !== undefined && stored !== what.digest && stored.split(':')[0] === what.digest.split(':')[0])
    throw new StaveError('digest-mismatch', `${pushing(remote, what)}: the registry stored ${stored}`)
}

async function putChunks(cx: Context, remote: Remote, what: Descriptor, content: Content, begun: Session): Promise<void> {
  const size = Math.min(Math.max(chunkBytes, begun.minChunkBytes), limit.uploadChunkBytes)
  let session = begun
  let start = 0
  for await (const chunk of chunksOf(await streamOf(remote, what, content, 0), size)) {
    session = await patch(cx, remote, what, session, start, chunk)
    start += chunk.length
  }
  await putWhole(cx, remote, what, new Uint8Array(), session)
}

/** Goes on where an upload broke off, if the registry knows. False: begin anew. */
async function resume(cx: Context, remote: Remote, what: Descriptor, content: Content, broken: Session): Promise<boolean> {
  try {
    const { endpoint } = remote
    const response = await remote.transport.send(cx, endpoint, {
      method: 'GET',
      to: broken.location,
      scopes: pushScope(endpoint),
      expect: [204],
      repeat: false,
      doing: pushing(remote, what),
    })
    await response.body.discard()
    // `0-0` means one byte, or none.
    const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(response.headers.range ?? '')?.[1] ?? 0)
    const received = last === 0 ? 0 : last + 1
    if (received === 0 || received > what.size) return false
    let session = await sessionOf(remote, what, response, broken.minChunkBytes)
    if (received < what.size) session = await patch(cx, remote, what, session, received, await streamOf(remote, what, content, received))
    await putWhole(cx, remote, what, new Uint8Array(), session)
    return true
  } catch (error) {
    if (cx.signal.aborted) throw error
    // It was worth a try; the whole is sent again.
    return false
  }
}

async function patch(
  cx: Context,
  remote: Remote,
  what: Descriptor,
  session: Session,
  start: number,
  body: Uint8Array | StreamBody,
): Promise<Session> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'PATCH',
    to: session.location,
    headers: { 'content-type': 'application/octet-stream', 'content-range': `${start}-${start + body.length - 1}` },
    body,
    scopes: pushScope(endpoint),
    expect: [201, 202, 204],
    repeat: false,
    doing: pushing(remote, what),
  })
  await response.body.discard()
  return sessionOf(remote, what, response, session.minChunkBytes)
}

async function sessionOf(remote: Remote, what: Descriptor, response: Response, minChunkBytes = 0): Promise<Session> {
  const location = URL.parse(response.headers.location ?? '', response.url)
  const bad = (why: string) =>
    new StaveError('registry-problem', `${pushing(remote, what)}: ${why}`, {
      cause: new Error(`${response.method} ${redactUrl(response.url)} → ${response.status}`),
    })
  if (location === null || response.headers.location === undefined) throw bad('the registry names no place to upload to')
  location.username = ''
  location.password = ''
  const own = remote.transport.origin(remote.endpoint)
  if (location.hostname === own.hostname && location.origin !== own.origin) {
    // Behind a proxy a registry may not know its own scheme and port. It was reached by these.
    location.protocol = own.protocol
    location.port = own.port
  }
  if (location.origin !== own.origin) {
    if (location.protocol !== 'https:') throw bad('the registry names a place without TLS to upload to')
    if (!(await mayLeadTo(own, location))) throw bad('the registry names a private address to upload to')
  }
  const announced = Number(response.headers['oci-chunk-min-length'] ?? minChunkBytes)
  return { location, minChunkBytes: Number.isSafeInteger(announced) && announced > 0 ? announced : 0 }
}

// The location may have a query of its own, signed, so nothing else of it may change.
function withDigest(location: URL, what: Descriptor): URL {
  const url = new URL(location)
  url.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${encodeURIComponent(what.digest)}`
  return url
}

async function readWhole(remote: Remote, what: Descriptor, bytes: Bytes): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of verified(bytes, what, remote.title)) chunks.push(chunk)
  return Buffer.concat(chunks, what.size)
}

async function streamOf(remote: Remote, what: Descriptor, content: Content, from: number): Promise<StreamBody> {
  const bytes = await content.open(from)
  const isVerified = from > 0 || bytes.verifies === what.digest
  return { bytes: isVerified ? bytes : verified(bytes, what, remote.title), length: what.size - from }
}

async function* chunksOf({ bytes }: StreamBody, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  let parts: Uint8Array[] = []
  let length = 0
  for await (const part of bytes) {
    let rest = part
    while (length + rest.length >= size) {
      const cut = size - length
      yield Buffer.concat([...parts, rest.subarray(0, cut)], size)
      rest = rest.subarray(cut)
      parts = []
      length = 0
    }
    if (rest.length > 0) parts.push(rest)
    length += rest.length
  }
  if (length > 0) yield Buffer.concat(parts, length)
}

/** A stream that can be read once, as content. */
export function onceContent(bytes: Bytes): Content {
  let isTaken = false
  return {
    isReopenable: false,
    async open(from) {
      if (isTaken) throw new StaveError('io', 'cannot read a stream twice')
      isTaken = true
      return from === 0 ? bytes : skip(bytes, from)
    },
  }
}

function pushing(remote: Remote, what: Descriptor): string {
  return `cannot push ${what.digest} to ${remote.title}`
}
