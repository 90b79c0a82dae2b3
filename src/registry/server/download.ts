import { createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { Context } from '#context.ts'
import { writeWhole } from '#image/file.ts'
import { verified } from '#image/read.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Bytes } from '#image/content.ts'
import type { Storage } from './storage.ts'
import type { Usage } from './usage.ts'

/** A blob on its way from an upstream registry to the disk, which clients read meanwhile. */
export interface Download {
  readonly size: number
  /** Settles when the blob is kept, or could not be fetched. */
  readonly done: Promise<void>
  /** From byte `start` on, as it comes. It fails where the download does. */
  read(start: number, length: number): AsyncIterable<Uint8Array>
}

/** The end of a blob is kept back until all of it is verified: a client must not have all of what is something else. */
const heldBackBytes = 64 * 1024
const readBytes = 256 * 1024

export interface DownloadParts {
  readonly storage: Storage
  readonly usage: Usage | undefined
  readonly repository: string
}

/** Begins a download. All who want the blob meanwhile read the same one. */
export async function beginDownload(
  cx: Context,
  { storage, usage, repository }: DownloadParts,
  what: Descriptor,
  bytes: Bytes,
  title: string,
): Promise<Download> {
  const id = await storage.makeUpload(repository)
  const file = await open(storage.uploadFile(repository, id), 'r+')
  const progress = createProgress()
  const users = createUsers(file)
  const leave = users.enter()

  async function receive(): Promise<void> {
    let counted = 0
    try {
      for await (const chunk of verified(bytes, what, title)) {
        cx.signal.throwIfAborted()
        usage?.take(repository, chunk.length)
        counted += chunk.length
        await writeWhole(file, chunk, progress.at)
        progress.reach(progress.at + chunk.length)
      }
      await storage.putBlob(repository, what.digest, storage.uploadFile(repository, id))
      progress.end()
    } catch (error) {
      await storage.removeUpload(repository, id)
      throw error
    } finally {
      usage?.give(repository, counted)
      await leave()
    }
  }

  async function* read(start: number, length: number): AsyncGenerator<Uint8Array> {
    if (progress.isOver) {
      if (length > 0) yield* createReadStream(storage.blobFile(what.digest), { start, end: start + length - 1, highWaterMark: readBytes })
      return
    }
    progress.check()
    const done = users.enter()
    try {
      const end = start + length
      for (let at = start; at < end;) {
        const available = Math.min(end, progress.isOver ? what.size : progress.at - heldBackBytes)
        if (available <= at) {
          await progress.more()
          continue
        }
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(readBytes, available - at)), 0, undefined, at)
        if (bytesRead === 0) throw new Error('the download is shorter than it was said to be')
        yield buffer.subarray(0, bytesRead)
        at += bytesRead
      }
    } finally {
      await done()
    }
  }

  const done = receive()
  // Whoever reads is told by the stream, when nothing of the download is left that the next one could meet.
  done.catch((error: unknown) => progress.fail(error))
  return { size: what.size, done, read }
}

/** How far a download has come, and who waits for more of it. */
function createProgress() {
  let at = 0
  let isOver = false
  let failure: { readonly error: unknown } | undefined
  const waiting: (() => void)[] = []
  const wake = () => {
    for (const go of waiting.splice(0)) go()
  }
  return {
    get at() {
      return at
    },
    get isOver() {
      return isOver
    },
    reach(to: number) {
      at = to
      wake()
    },
    end() {
      isOver = true
      wake()
    },
    fail(error: unknown) {
      failure = { error }
      wake()
    },
    /** @throws what the download failed with */
    check() {
      if (failure !== undefined) throw failure.error
    },
    async more(): Promise<void> {
      if (failure === undefined && !isOver) await new Promise<void>((resolve) => waiting.push(resolve))
      if (failure !== undefined) throw failure.error
    },
  }
}

/** Closes a file when the last one who reads or writes it has left. */
function createUsers(file: FileHandle) {
  let users = 0
  return {
    enter() {
      users++
      return async () => {
        if (--users === 0) await file.close()
      }
    },
  }
}
