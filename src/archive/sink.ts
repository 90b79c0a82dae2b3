import { once } from 'node:events'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes } from '#image/content.ts'
import { fileError, readRange, temporaryBeside, writeRange, writeWhole } from '#image/file.ts'
import { blockBytes, encodeHeader, paddedSize } from './tar.ts'

/** A tar archive that is being written. */
export interface TarSink {
  /** Adds a file of exactly `size` bytes; the stream has to see to that. What failed can be repeated where {@link canRepeat}. */
  write(cx: Context, name: string, size: number, bytes: Bytes): Promise<void>
  /** What was written, where it can be read again. */
  read(cx: Context, name: string, from: number): Bytes | undefined
  finish(cx: Context): Promise<void>
  discard(): Promise<void>
}

const endOfArchive = Buffer.alloc(2 * blockBytes)

/**
 * Writes a tar file that appears at `path` when it is finished. The size of each entry is known before its bytes, so
 * each gets its place in the file at once, and any number are written at the same time.
 */
export async function createFileSink(path: string): Promise<TarSink> {
  const temporary = temporaryBeside(path)
  const handle: FileHandle = await open(temporary, 'wx+').catch((error: unknown) => {
    throw fileError(error, `make the archive ${path}`)
  })
  const regions = new Map<string, { readonly offset: number; readonly size: number; complete: boolean }>()
  let end = 0

  return {
    async write(cx, name, size, bytes) {
      let region = regions.get(name)
      if (region === undefined) {
        const header = encodeHeader(name, size)
        const start = end
        region = { offset: start + header.length, size, complete: false }
        regions.set(name, region)
        end = region.offset + paddedSize(size)
        await writeWhole(handle, header, start)
      }
      // The rest of the last block is a hole in the file, which reads as zeros.
      await writeRange(cx, handle, region.offset, bytes)
      region.complete = true
    },
    read(cx, name, from) {
      const region = regions.get(name)
      return region?.complete === true ? readRange(cx, handle, region.offset + from, region.size - from) : undefined
    },
    async finish() {
      const incomplete = [...regions].find(([, region]) => !region.complete)
      if (incomplete !== undefined)
        throw new StaveError('io', `cannot finish the archive ${path}: ${incomplete[0]} was not written to its end`)
      await writeWhole(handle, endOfArchive, end)
      await handle.close()
      await rename(temporary, path)
    },
    async discard() {
      await handle.close()
      await rm(temporary, { force: true })
    },
  }
}

/**
 * Writes a tar file to a stream, one entry after the other. The stream is not ended. If an entry fails, what follows
 * would be read as its rest, so nothing follows: the archive has no end, and its readers refuse it.
 */
export function createStreamSink(stream: NodeJS.WritableStream, title: string): TarSink {
  let queue: Promise<unknown> = Promise.resolve()
  let broken: unknown
  const fail = (error: unknown): void => {
    broken ??= error
  }
  stream.on('error', fail)

  const push = async (chunk: Uint8Array): Promise<void> => {
    if (broken !== undefined) throw fileError(broken, `write ${title}`)
    if (chunk.length > 0 && !stream.write(chunk)) await once(stream, 'drain')
  }
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const before = queue
    const turn = (async () => {
      await before
      if (broken !== undefined) throw fileError(broken, `write ${title}`)
      try {
        await work()
      } catch (error) {
        fail(error)
        throw fileError(error, `write ${title}`)
      }
    })()
    queue = turn.catch(() => {})
    return turn
  }

  return {
    write: (cx, name, size, bytes) =>
      inTurn(async () => {
        await push(encodeHeader(name, size))
        for await (const chunk of bytes) {
          cx.signal.throwIfAborted()
          await push(chunk)
        }
        await push(Buffer.alloc(paddedSize(size) - size))
      }),
    read: () => undefined,
    async finish() {
      await inTurn(() => new Promise((resolve, reject) => stream.write(endOfArchive, (error) => (error ? reject(error) : resolve()))))
      stream.off('error', fail)
    },
    async discard() {
      await queue
      stream.off('error', fail)
    },
  }
}
