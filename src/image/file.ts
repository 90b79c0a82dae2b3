import { randomBytes } from 'node:crypto'
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync, type WriteStream } from 'node:fs'
import { copyFile, open, readlink, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Context } from '#context.ts'
import { StaveError, type ErrorCode } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { release } from './buffers.ts'
import type { Bytes } from './content.ts'
import { verified } from './read.ts'

/** What layouts and archives have in common: content in files. */

const chunkBytes = 256 * 1024

/** Reads `size` bytes of an open file, or fewer if it ends. */
export async function* readRange(
  cx: Context,
  handle: FileHandle,
  start: number,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = start
  const end = start + size
  while (position < end) {
    cx.signal.throwIfAborted()
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, end - position))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

export interface FileRules {
  /** The file must be below this directory, whatever links its path goes through. */
  readonly below?: string
  /** What a person names may be a pipe (`/dev/fd/63`) or a device; what a checkout or a layout holds may not. */
  readonly mayBePipe?: boolean
}

/**
 * Reads a whole file that others made, if it is a file, where it may be, and no larger than it may be: to open a pipe would
 * wait for ever, and a link could lead to any file of this machine.
 *
 * @throws StaveError `invalid-document`, `denied`, `too-large`, and what the operating system says
 */
export async function readWholeFile(path: string, maxBytes: number, rules: FileRules = {}): Promise<Buffer> {
  const { below, mayBePipe = false } = rules
  const handle = await open(path, constants.O_RDONLY | constants.O_NOCTTY | (mayBePipe ? 0 : constants.O_NONBLOCK))
  try {
    if (below !== undefined && !(await isBelow(handle, below)))
      throw new StaveError('denied', `cannot read ${path}: it is a link that leads out of ${below}`)
    const found = await handle.stat()
    if (found.isDirectory()) throw new StaveError('invalid-document', `cannot read ${path}: it is a directory`)
    if (!found.isFile() && !mayBePipe) throw new StaveError('invalid-document', `cannot read ${path}: it is not a regular file`)
    return await readAtMost(handle, path, found.size, maxBytes)
  } finally {
    await handle.close()
  }
}

/**
 * The same at once, for small files that a command reads before it does anything.
 *
 * @throws StaveError `invalid-document`, `too-large`, and what the operating system says
 */
export function readSmallFileSync(path: string, maxBytes: number, rules: Pick<FileRules, 'mayBePipe'> = {}): Buffer {
  const { mayBePipe = false } = rules
  const file = openSync(path, constants.O_RDONLY | constants.O_NOCTTY | (mayBePipe ? 0 : constants.O_NONBLOCK))
  try {
    const found = fstatSync(file)
    if (found.isDirectory() || (!found.isFile() && !mayBePipe))
      throw new StaveError('invalid-document', `cannot read ${path}: it is ${found.isDirectory() ? 'a directory' : 'not a regular file'}`)
    const chunks: Buffer[] = []
    let size = 0
    let room = Math.min(found.size, maxBytes) + 1
    for (;;) {
      const buffer = Buffer.allocUnsafe(room)
      const count = readSync(file, buffer)
      if (count === 0) return Buffer.concat(chunks, size)
      size += count
      if (size > maxBytes) throw tooLarge(path, maxBytes)
      chunks.push(buffer.subarray(0, count))
      room = chunkBytes
    }
  } finally {
    closeSync(file)
  }
}

function tooLarge(path: string, maxBytes: number): StaveError {
  return new StaveError('too-large', `cannot read ${path}: it has more than the ${maxBytes} bytes that are allowed`)
}

/** Asked of the open file and not of its path, which can be changed meanwhile. */
async function isBelow(handle: FileHandle, directory: string): Promise<boolean> {
  const [real, root] = await Promise.all([readlink(`/proc/self/fd/${handle.fd}`), realpath(directory)])
  return root === '/' || real.startsWith(`${root}/`)
}

/** The size that a file says it has is a hint: those of /proc say 0, and a pipe says nothing. */
async function readAtMost(handle: FileHandle, path: string, expected: number, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  let room = Math.min(expected, maxBytes) + 1
  for (;;) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(room), 0, room, null)
    if (bytesRead === 0) return Buffer.concat(chunks, size)
    size += bytesRead
    if (size > maxBytes) throw tooLarge(path, maxBytes)
    chunks.push(buffer.subarray(0, bytesRead))
    room = chunkBytes
  }
}

/** Bytes collected before they are written: each write is a round trip through the thread pool. */
const batchBytes = 1024 * 1024

/**
 * Writes a stream to an open file from `position` on; what follows is read meanwhile.
 *
 * @returns the number of bytes
 */
export async function writeRange(cx: Context, handle: FileHandle, position: number, bytes: Bytes): Promise<number> {
  let batch: Uint8Array[] = []
  let batched = 0
  let written = 0
  let writing: Promise<void> = Promise.resolve()
  const flush = async () => {
    await writing
    writing = writeBatch(handle, position + written, batch, batched)
    // It is awaited before the next one; a failure until then must not count as unhandled.
    writing.catch(() => {})
    written += batched
    batch = []
    batched = 0
  }
  try {
    for await (const chunk of bytes) {
      cx.signal.throwIfAborted()
      batch.push(chunk)
      batched += chunk.length
      if (batched >= batchBytes) await flush()
    }
    if (batched > 0) await flush()
  } finally {
    // The caller closes the file: nothing may still be written to it.
    await writing
  }
  return written
}

async function writeBatch(handle: FileHandle, position: number, batch: Uint8Array[], size: number): Promise<void> {
  const { bytesWritten } = await handle.writev(batch, position)
  if (bytesWritten < size) {
    // A short write is rare (signals, quotas): the rest is written piece by piece, where an error has its name.
    await writeWhole(handle, Buffer.concat(batch, size).subarray(bytesWritten), position + bytesWritten)
  }
  for (const chunk of batch) release(chunk)
}

/** Writes all of a piece at a position: one call may write less. */
export async function writeWhole(handle: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < piece.length;) done += (await handle.write(piece, done, piece.length - done, position + done)).bytesWritten
}

/** Makes a file of verified content, which appears at `path` only when it is whole. */
export async function writeFileVerified(cx: Context, path: string, what: Descriptor, bytes: Bytes, title: string): Promise<void> {
  await replaceFile(path, async (temporary) => {
    const handle = await open(temporary, 'wx')
    try {
      await writeRange(cx, handle, 0, verified(bytes, what, title))
    } finally {
      await handle.close()
    }
  })
}

/**
 * What a person named as a file to be made, where it is something that takes bytes one after the other: a pipe, a terminal,
 * `/dev/stdout`, `/dev/null`. To put a file in its place would take that away from everybody.
 *
 * @returns undefined for a regular file, and where there is nothing yet
 * @throws StaveError `conflict` for a directory, a disk or a socket
 */
async function streamAt(path: string): Promise<WriteStream | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || found.isFile()) return undefined
  if (found.isFIFO() || found.isCharacterDevice()) {
    const handle = await open(path, constants.O_WRONLY | constants.O_NOCTTY)
    return handle.createWriteStream()
  }
  const what = found.isDirectory() ? 'a directory' : found.isBlockDevice() ? 'a disk' : 'a socket'
  throw new StaveError('conflict', `cannot write ${path}: it is ${what}`, { hint: 'Name a file.' })
}

/** The file that a name leads to, also through links, and where nothing is yet: it is replaced, and they stay. */
async function throughLinks(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const link = await readlink(path).catch(() => undefined)
  return link === undefined ? path : throughLinks(resolve(dirname(path), link))
}

/**
 * Where a file is to be made that a person has named: a stream, for what takes bytes one after the other, or the path to
 * replace in one step.
 *
 * @throws StaveError `conflict` for a directory, a disk or a socket; what the operating system says
 */
export async function destination(path: string): Promise<WriteStream | string> {
  return (await streamAt(path)) ?? (await throughLinks(path))
}

/**
 * Brings a finished file to where a person wants it: a pipe or a device gets its bytes, a file is replaced in one step.
 *
 * @param from May be gone afterwards.
 */
export async function deliverFile(cx: Context, from: string, to: string): Promise<void> {
  await withFileErrors(`write ${to}`, async () => {
    const target = await destination(to)
    if (typeof target !== 'string') return pipeline(createReadStream(from), target, { signal: cx.signal })
    try {
      await rename(from, target)
    } catch (error) {
      // On another file system.
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
      await replaceFile(target, (temporary) => copyFile(from, temporary))
    }
  })
}

/** Lets `make` write a file beside `path`, then puts it there in one step. If anything fails, nothing is left. */
export async function replaceFile(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryBeside(path)
  try {
    await make(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A name that no one else has, in the same directory. */
export function temporaryBeside(path: string): string {
  return `${path}.stave-${randomBytes(6).toString('hex')}`
}

/** Says in Stave's words what the operating system said. What is no such error is given back as it is. */
export function fileError(error: unknown, what: string): unknown {
  const errno = (error as NodeJS.ErrnoException | undefined)?.code
  if (error instanceof StaveError || !(error instanceof Error) || typeof errno !== 'string' || !/^E[A-Z0-9]+$/.test(errno)) return error
  const code = codes[errno] ?? 'io'
  return new StaveError(code, `cannot ${what}: ${error.message}`, {
    cause: error,
    ...(code === 'no-space' && { hint: 'Free some space there, or choose another place.' }),
    ...(code === 'permission' && { hint: 'Check who owns it and its mode.' }),
  })
}

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not-found',
  ENOTDIR: 'not-found',
  EACCES: 'permission',
  EPERM: 'permission',
  EROFS: 'permission',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
}

/** Runs `work`, with {@link fileError} for what it throws. */
export async function withFileErrors<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw fileError(error, what)
  }
}
