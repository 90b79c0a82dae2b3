import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { createHasher, digestAlgorithm, type Digest, type Hasher } from '#oci/digest.ts'
import { type Answer, Refusal } from './answer.ts'
import type { Storage } from './storage.ts'
import type { Usage } from './usage.ts'

/** What is needed of a request that carries part of a blob. */
export interface Upload {
  readonly repository: string
  readonly id: string
  readonly body: AsyncIterable<Uint8Array>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Uploads under way. Their bytes are on disk, so a session outlives the process; what was hashed so far does not. */
export interface Uploads {
  begin(repository: string): Promise<Answer>
  /** Where an upload stands. */
  status(repository: string, id: string): Promise<Answer>
  append(upload: Upload): Promise<Answer>
  finish(upload: Upload, digest: Digest): Promise<Answer>
  cancel(repository: string, id: string): Promise<Answer>
}

interface State {
  /** Settles when the request under way has written what it got. */
  busy: Promise<void> | undefined
  /** Over everything in the file; undefined when that is not known. */
  hasher: Hasher | undefined
}

/** How long a question where an upload stands waits for the request that is under way. */
const settleMs = 1000
/** Bytes are gathered to this size and written while the next are hashed. */
const writeBytes = 512 * 1024

/** The uploads of one storage, and what this process knows of them. */
interface Desk {
  readonly storage: Storage
  readonly usage: Usage | undefined
  readonly states: Map<string, State>
}

export function createUploads(storage: Storage, usage?: Usage): Uploads {
  const desk: Desk = { storage, usage, states: new Map() }
  return {
    async begin(repository) {
      const id = await storage.makeUpload(repository)
      desk.states.set(id, { busy: undefined, hasher: createHasher() })
      return { status: 202, headers: uploadHeaders(repository, id, 0) }
    },
    async status(repository, id) {
      await settled(desk, id)
      return { status: 204, headers: uploadHeaders(repository, id, await sizeOf(desk, repository, id)) }
    },
    append: (upload) =>
      exclusively(desk, upload, async (state, size) => ({
        status: 202,
        headers: uploadHeaders(upload.repository, upload.id, await receiveOrDiscard(desk, upload, state, size)),
      })),
    finish: (upload, digest) => exclusively(desk, upload, (state, size) => finish(desk, upload, digest, state, size)),
    async cancel(repository, id) {
      await discard(desk, repository, id)
      return { status: 204 }
    },
  }
}

async function sizeOf({ storage, states }: Desk, repository: string, id: string): Promise<number> {
  try {
    return (await stat(storage.uploadFile(repository, id))).size
  } catch {
    states.delete(id)
    throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload')
  }
}

// A client whose connection broke is back before the end of its first request is on disk.
async function settled({ states }: Desk, id: string): Promise<void> {
  const busy = states.get(id)?.busy
  if (busy !== undefined) await Promise.race([busy, setTimeout(settleMs, undefined, { ref: false })])
}

// Two requests that wrote to one upload at once would mix their bytes.
async function exclusively<T>(desk: Desk, { repository, id }: Upload, act: (state: State, size: number) => Promise<T>): Promise<T> {
  const size = await sizeOf(desk, repository, id)
  const state = desk.states.get(id) ?? { busy: undefined, hasher: size === 0 ? createHasher() : undefined }
  if (state.busy !== undefined) throw new Refusal(409, 'BLOB_UPLOAD_INVALID', 'another request of this upload is under way')
  const { promise, resolve } = Promise.withResolvers<void>()
  state.busy = promise
  desk.states.set(id, state)
  try {
    return await act(state, size)
  } finally {
    state.busy = undefined
    resolve()
  }
}

/** @returns the size of the upload then */
async function receive(desk: Desk, { repository, id, body, headers }: Upload, state: State, size: number): Promise<number> {
  const { storage, usage } = desk
  const start = rangeStart(headers['content-range'])
  if (start !== undefined && start !== size)
    throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `this upload goes on at byte ${size}`, uploadHeaders(repository, id, size))
  if (state.hasher !== undefined && state.hasher.size !== size) state.hasher = undefined
  const { hasher } = state
  usage?.check(repository, Number(headers['content-length'] ?? 0))
  let counted = 0
  let written = 0
  try {
    written = await appendTo(storage.uploadFile(repository, id), size, body, (chunk) => {
      usage?.take(repository, chunk.length)
      counted += chunk.length
      hasher?.update(chunk)
    })
  } catch (error) {
    // What came before a broken connection is kept, and counts.
    written = (await sizeOf(desk, repository, id)) - size
    throw error
  } finally {
    usage?.give(repository, counted - written)
  }
  return size + written
}

/** What does not fit is not kept for a week as an upload that may go on. */
async function receiveOrDiscard(desk: Desk, upload: Upload, state: State, size: number): Promise<number> {
  try {
    return await receive(desk, upload, state, size)
  } catch (error) {
    if (error instanceof Refusal && error.code === 'DENIED') await discard(desk, upload.repository, upload.id)
    throw error
  }
}

async function finish(desk: Desk, upload: Upload, digest: Digest, state: State, before: number): Promise<Answer> {
  const { storage, usage, states } = desk
  const { repository, id } = upload
  const file = storage.uploadFile(repository, id)
  if (before === 0 && digestAlgorithm(digest) !== 'sha256') state.hasher = createHasher(digestAlgorithm(digest))
  const size = await receiveOrDiscard(desk, upload, state, before)
  const isUsable = state.hasher !== undefined && state.hasher.size === size
  const actual = isUsable ? state.hasher!.digest() : undefined
  const isRight = actual?.split(':')[0] === digestAlgorithm(digest) ? actual === digest : (await digestOfFile(file, digest)) === digest
  if (!isRight) {
    await discard(desk, repository, id)
    throw new Refusal(400, 'DIGEST_INVALID', `the content does not have the digest ${digest}`)
  }
  states.delete(id)
  await storage.putBlob(repository, digest, file)
  usage?.give(repository, size)
  return blobCreated(repository, digest)
}

async function discard(desk: Desk, repository: string, id: string): Promise<void> {
  desk.states.delete(id)
  desk.usage?.give(repository, await sizeOf(desk, repository, id))
  await desk.storage.removeUpload(repository, id)
}

export function blobCreated(repository: string, digest: Digest): Answer {
  return { status: 201, headers: { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest } }
}

function uploadHeaders(repository: string, id: string, size: number): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, size - 1)}`,
    'docker-upload-uuid': id,
  }
}

// The specification writes `0-1023`; `bytes 0-1023/*` is what RFC 9110 would have.
function rangeStart(field: string | string[] | undefined): number | undefined {
  if (field === undefined) return undefined
  const match = typeof field === 'string' ? /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/.*)?$/.exec(field) : null
  if (match === null) throw new Refusal(400, 'BLOB_UPLOAD_INVALID', 'the Content-Range cannot be understood')
  return Number(match[1])
}

/**
 * Adds a stream to a file, and returns how much came. What came before a failure stays, so that an upload which
 * broke off can go on there.
 */
async function appendTo(
  file: string,
  position: number,
  body: AsyncIterable<Uint8Array>,
  seen: (chunk: Uint8Array) => void,
): Promise<number> {
  const handle = await open(file, 'r+')
  let written = 0
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  let writing: Promise<void> = Promise.resolve()
  const flush = async () => {
    const chunks = gathered
    const at = position + written
    written += gatheredBytes
    gathered = []
    gatheredBytes = 0
    await writing
    if (chunks.length > 0) writing = writeAll(handle, chunks, at)
    // It is awaited before the next write; a failure in between must not count as unhandled.
    writing.catch(() => {})
  }
  try {
    for await (const chunk of body) {
      seen(chunk)
      gathered.push(chunk)
      gatheredBytes += chunk.length
      if (gatheredBytes >= writeBytes) await flush()
    }
  } finally {
    try {
      await flush()
      await writing
    } finally {
      await handle.close()
    }
  }
  return written
}

async function writeAll(handle: Awaited<ReturnType<typeof open>>, chunks: Uint8Array[], at: number): Promise<void> {
  let rest = chunks
  let position = at
  while (rest.length > 0) {
    let { bytesWritten } = await handle.writev(rest, position)
    position += bytesWritten
    while (rest.length > 0 && bytesWritten >= rest[0]!.length) {
      bytesWritten -= rest[0]!.length
      rest = rest.slice(1)
    }
    if (bytesWritten > 0) rest = [rest[0]!.subarray(bytesWritten), ...rest.slice(1)]
  }
}

async function digestOfFile(file: string, like: Digest): Promise<Digest> {
  const hasher = createHasher(digestAlgorithm(like))
  for await (const chunk of createReadStream(file, { highWaterMark: writeBytes })) hasher.update(chunk as Uint8Array)
  return hasher.digest()
}
