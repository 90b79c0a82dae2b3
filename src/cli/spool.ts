import { open, rm, type FileHandle } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { Context } from '#context.ts'
import type { Bytes } from '#image/content.ts'
import { readRange, withFileErrors, writeRange } from '#image/file.ts'
import { createHasher, type Digest } from '#oci/digest.ts'
import { spoolDirectory } from './places.ts'
import type { Settings } from './settings.ts'

/** Content whose digest is known, and which can be read more than once. Disposing it removes what was made for that. */
export interface Spooled extends AsyncDisposable {
  readonly digest: Digest
  readonly size: number
  open(from: number): Promise<Bytes>
}

/**
 * A file that a person named, `-` for stdin: hashed first, for uploads begin with the digest. What comes as a stream
 * waits on disk meanwhile.
 */
export async function spool(cx: Context, settings: Settings, file: string): Promise<Spooled> {
  const title = file === '-' ? 'stdin' : file
  return withFileErrors(`read ${title}`, async () => {
    const handle = file === '-' ? await receive(cx, settings, process.stdin) : await openFile(cx, settings, file)
    try {
      const hasher = createHasher()
      for await (const chunk of readRange(cx, handle, 0, Number.MAX_SAFE_INTEGER)) hasher.update(chunk)
      const { size } = hasher
      return {
        size,
        digest: hasher.digest(),
        open: async (from) => readRange(cx, handle, from, size - from),
        [Symbol.asyncDispose]: () => handle.close(),
      }
    } catch (error) {
      await handle.close()
      throw error
    }
  })
}

/** A pipe that has a name (`/dev/fd/63`) can be read only once, too. */
async function openFile(cx: Context, settings: Settings, file: string): Promise<FileHandle> {
  const handle = await open(resolve(settings.cwd, file), 'r')
  if ((await handle.stat()).isFile()) return handle
  return receive(cx, settings, handle.createReadStream() as AsyncIterable<Uint8Array>)
}

/** The file has no name any more: whatever becomes of this process, nothing is left of it. */
async function receive(cx: Context, settings: Settings, from: AsyncIterable<Uint8Array>): Promise<FileHandle> {
  const path = join(spoolDirectory(settings), `stdin-${randomBytes(6).toString('hex')}`)
  const handle = await open(path, 'wx+', 0o600)
  await rm(path)
  try {
    await writeRange(cx, handle, 0, from)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}
