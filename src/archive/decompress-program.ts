import { spawn } from 'node:child_process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes } from '#image/content.ts'

/** Compressions that Node cannot undo: the program of the same name does, as for tar. */
export type ProgramCompression = 'xz' | 'bzip2'

const packages = { xz: 'xz-utils', bzip2: 'bzip2' } as const
/** What a decompressor may take, so that no header of an archive chooses it. */
const argumentsOf = { xz: ['-dc', '--memlimit-decompress=256MiB'], bzip2: ['-dc'] } as const

/**
 * Decompresses a stream with `xz` or `bzip2`. Errors of the stream that is read come through as they are.
 *
 * @param title Of the archive, for messages
 * @throws StaveError `unsupported` where the program is missing, `invalid-document` for damaged content
 */
export async function* decompressWith(
  cx: Context,
  bytes: Bytes,
  compression: ProgramCompression,
  title: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const child = spawn(compression, argumentsOf[compression], { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-1024)))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) => reject(missing(compression, title, cause)))
    child.once('close', (status) => resolve(status))
  })
  // Awaited at the end, unless something fails before.
  ended.catch(() => {})
  let sourceFailure: { readonly error: unknown } | undefined
  const source = (async function* () {
    try {
      yield* bytes
    } catch (error) {
      sourceFailure = { error }
      throw error
    }
  })()
  const fed = pipeline(Readable.from(source, { objectMode: false }), child.stdin, { signal: cx.signal })
  // A program that ends early closes its input: its status says why.
  fed.catch(() => {
    if (sourceFailure !== undefined || cx.signal.aborted) child.kill('SIGKILL')
  })
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    const status = await ended
    if (sourceFailure !== undefined) throw sourceFailure.error
    cx.signal.throwIfAborted()
    if (status !== 0) {
      throw new StaveError('invalid-document', `cannot open ${title}: its compression is damaged`, {
        cause: new Error(said.trim()),
        hint: 'It was probably not copied to its end.',
      })
    }
  } finally {
    child.kill('SIGKILL')
  }
}

function missing(compression: ProgramCompression, title: string, cause: Error): StaveError {
  return new StaveError(
    'unsupported',
    `cannot open ${title}: it is compressed with ${compression}, and the program ${compression} cannot be started`,
    {
      cause,
      hint: `Install ${packages[compression]}, or decompress the archive elsewhere.`,
    },
  )
}
