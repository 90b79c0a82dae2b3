import { open, rm, stat, type FileHandle } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Bytes } from '#image/content.ts'
import { fileError, readRange, temporaryBeside, withFileErrors, writeRange } from '#image/file.ts'
import * as limit from '#limit.ts'
import type { ProgramCompression } from './decompress-program.ts'
import { blockBytes, paddedSize, parseHeader, parsePax, text, type Header } from './tar.ts'

/** A file inside a tar file. */
export interface TarEntry {
  readonly name: string
  readonly offset: number
  readonly size: number
}

/** A tar file whose entries can be read in any order, as often as wished. */
export interface TarFile extends AsyncDisposable {
  readonly title: string
  /** Follows links inside the archive. */
  find(name: string): TarEntry | undefined
  read(cx: Context, entry: TarEntry, from?: number): AsyncGenerator<Uint8Array, void, undefined>
  /** The whole of a small entry. @throws StaveError `too-large` */
  readAll(cx: Context, entry: TarEntry, maxBytes: number): Promise<Buffer>
}

export interface OpenTarOptions {
  /** Directory for what cannot be read in place: a stream, a compressed archive. */
  readonly temporary?: string
  /** The most bytes that are put there. */
  readonly maxTemporaryBytes?: number
  readonly title?: string
}

const defaultTemporary = '/var/tmp'

/**
 * Opens a tar file, or a stream of one, and notes where its entries are. Compressed ones (gzip, zstd, xz, bzip2) and streams are
 * first put into a temporary file that goes away with the archive.
 *
 * @throws StaveError `escape` for names that lead out of the archive, `invalid-document`, `not-found`, `unsupported`
 */
export async function openTar(cx: Context, input: string | Bytes, options: OpenTarOptions = {}): Promise<TarFile> {
  const title = options.title ?? (typeof input === 'string' ? input : 'the archive')
  return withFileErrors(`open ${title}`, async () => {
    const handle = typeof input === 'string' ? await openPlain(cx, input, title, options) : await spool(cx, input, title, options)
    try {
      return new IndexedTar(handle, title, await scan(cx, handle, title))
    } catch (error) {
      await handle.close()
      throw error
    }
  })
}

async function openPlain(cx: Context, path: string, title: string, options: OpenTarOptions): Promise<FileHandle> {
  if ((await stat(path)).isDirectory()) throw new StaveError('invalid-document', `cannot open ${title}: it is a directory, not an archive`)
  const handle = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(6), 0, 6, null)
    // What cannot be read at an offset (a pipe) has lost these bytes now.
    if (!(await handle.stat()).isFile()) return await spool(cx, prefixed(buffer.subarray(0, bytesRead), handle), title, options)
    if (anyCompressionOf(buffer) === 'none') return handle
    const spooled = await spool(cx, readRange(cx, handle, 0, Number.MAX_SAFE_INTEGER), title, options)
    await handle.close()
    return spooled
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function* prefixed(first: Uint8Array, handle: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  yield first
  yield* handle.createReadStream({ autoClose: true }) as AsyncIterable<Buffer>
}

/** Writes the archive, decompressed, to a file without a name. */
async function spool(cx: Context, bytes: Bytes, title: string, options: OpenTarOptions): Promise<FileHandle> {
  const path = temporaryBeside(join(options.temporary ?? defaultTemporary, 'archive'))
  const handle = await open(path, 'wx+', 0o600).catch((error: unknown) => {
    throw fileError(error, `make a temporary file for ${title}`)
  })
  try {
    await rm(path)
    await writeRange(
      cx,
      handle,
      0,
      limited(decompressed(cx, bytes, title), options.maxTemporaryBytes ?? limit.archiveTemporaryBytes, title),
    )
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function* limited(bytes: Bytes, max: number, title: string): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > max) throw new StaveError('too-large', `cannot open ${title}: it has more than ${max} bytes when decompressed`)
    yield chunk
  }
}

async function* decompressed(cx: Context, bytes: Bytes, title: string): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = bytes[Symbol.asyncIterator]()
  let first = Buffer.alloc(0)
  while (first.length < 6) {
    const next = await iterator.next()
    if (next.done === true) break
    first = Buffer.concat([first, next.value])
  }
  const whole = (async function* () {
    yield first
    yield* { [Symbol.asyncIterator]: () => iterator }
  })()
  const compression = anyCompressionOf(first)
  if (compression === 'xz' || compression === 'bzip2') {
    const { decompressWith } = await import('./decompress-program.ts')
    yield* decompressWith(cx, whole, compression, title)
    return
  }
  const { decompress } = await import('#image/decompress.ts')
  try {
    yield* decompress(cx, whole, compression)
  } catch (cause) {
    if (!hasCode(cause, 'invalid-layer')) throw cause
    throw new StaveError('invalid-document', `cannot open ${title}: its compression is damaged`, {
      cause,
      hint: 'It was probably not copied to its end.',
    })
  }
}

/** Of a member of an archive, which has to be what a manifest can name. @throws StaveError `unsupported` */
export function compressionOfBytes(bytes: Uint8Array, title: string): 'none' | 'gzip' | 'zstd' {
  const compression = anyCompressionOf(bytes)
  if (compression !== 'xz' && compression !== 'bzip2') return compression
  throw new StaveError('unsupported', `cannot open ${title}: it is compressed with ${compression}, which no manifest can say of a layer`, {
    hint: `Decompress it first: ${compression} -d.`,
  })
}

/** By the first bytes; the name of a file says nothing. */
function anyCompressionOf(bytes: Uint8Array): 'none' | 'gzip' | 'zstd' | ProgramCompression {
  const magic = Buffer.from(bytes.subarray(0, 6)).toString('hex')
  if (magic.startsWith('1f8b')) return 'gzip'
  if (magic.startsWith('28b52ffd') || /^5.2a4d18/.test(magic)) return 'zstd'
  if (magic.startsWith('fd377a585a00')) return 'xz'
  return magic.startsWith('425a68') ? 'bzip2' : 'none'
}

interface Scanned {
  readonly files: ReadonlyMap<string, TarEntry>
  /** From name to name, both in the archive. */
  readonly links: ReadonlyMap<string, string>
}

async function scan(cx: Context, handle: FileHandle, title: string): Promise<Scanned> {
  const { size: end } = await handle.stat()
  const files = new Map<string, TarEntry>()
  const links = new Map<string, string>()
  const block = Buffer.alloc(blockBytes)
  let long: { path?: string; link?: string; size?: number } = {}
  let count = 0

  for (let position = 0; ;) {
    cx.signal.throwIfAborted()
    const { bytesRead } = await handle.read(block, 0, blockBytes, position)
    // Archives without the blocks of zeros at the end are seen, and are whole.
    if (bytesRead === 0) break
    if (bytesRead < blockBytes) throw cut(title)
    const header = parseHeader(block, title)
    if (header === undefined) break
    const size = long.size ?? (header.type === '1' || header.type === '2' || header.type === '5' ? 0 : header.size)
    const offset = position + blockBytes
    position = offset + paddedSize(size)
    if (position > end) throw cut(title)
    if (++count > limit.archiveEntries)
      throw new StaveError('too-large', `cannot open ${title}: it has more than ${limit.archiveEntries} entries`)

    if (isExtension(header)) {
      Object.assign(long, await readExtension(handle, header, offset, title))
      continue
    }
    const name = safeName(long.path ?? header.name, title)
    const target = long.link ?? header.linkName
    long = {}
    if (name === '') continue
    // The last entry of a name counts, as it would if the archive were unpacked.
    files.delete(name)
    links.delete(name)
    if (header.type === '0') files.set(name, { name, offset, size })
    // A hard link is named from the top of the archive, a symbolic one from where it lies.
    else if (header.type === '1') links.set(name, safeName(target, title))
    else if (header.type === '2')
      links.set(name, safeName(posix.isAbsolute(target) ? target : posix.join(posix.dirname(name), target), title))
  }
  return { files, links }
}

function cut(title: string): StaveError {
  return new StaveError('invalid-document', `cannot open ${title}: it ends in the middle of an entry`, {
    hint: 'It was probably not copied to its end.',
  })
}

function isExtension(header: Header): boolean {
  return header.type === 'x' || header.type === 'g' || header.type === 'L' || header.type === 'K'
}

async function readExtension(
  handle: FileHandle,
  header: Header,
  offset: number,
  title: string,
): Promise<{ path?: string; link?: string; size?: number }> {
  if (header.size > limit.archiveHeaderBytes)
    throw new StaveError('too-large', `cannot open ${title}: it has a header of ${header.size} bytes`)
  const bytes = Buffer.alloc(header.size)
  await handle.read(bytes, 0, bytes.length, offset)
  if (header.type === 'L') return { path: text(bytes) }
  if (header.type === 'K') return { link: text(bytes) }
  if (header.type === 'g') return {}
  const records = parsePax(bytes, title)
  const [path, link, size] = [records.get('path'), records.get('linkpath'), records.get('size')]
  if (size !== undefined && !/^\d{1,15}$/.test(size))
    throw new StaveError('invalid-document', `cannot open ${title}: a pax header has the size ${JSON.stringify(size)}`)
  return { ...(path !== undefined && { path }), ...(link !== undefined && { link }), ...(size !== undefined && { size: Number(size) }) }
}

/** Nothing is ever unpacked by its name; but who writes such names has something in mind. */
function safeName(name: string, title: string): string {
  const parts = name.split('/')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0'))
    throw new StaveError('escape', `cannot open ${title}: the entry ${JSON.stringify(name)} leads out of the archive`)
  return parts.filter((part) => part !== '' && part !== '.').join('/')
}

class IndexedTar implements TarFile {
  readonly title: string
  readonly #handle: FileHandle
  readonly #scanned: Scanned

  constructor(handle: FileHandle, title: string, scanned: Scanned) {
    this.#handle = handle
    this.title = title
    this.#scanned = scanned
  }

  find(name: string): TarEntry | undefined {
    let current = posix.normalize(name)
    for (let followed = 0; followed <= limit.archiveLinks; followed++) {
      const file = this.#scanned.files.get(current)
      if (file !== undefined) return file
      const target = this.#scanned.links.get(current)
      if (target === undefined) return undefined
      current = target
    }
    throw new StaveError('invalid-document', `cannot read ${name} in ${this.title}: it is a chain of more than ${limit.archiveLinks} links`)
  }

  read(cx: Context, entry: TarEntry, from = 0): AsyncGenerator<Uint8Array, void, undefined> {
    return readRange(cx, this.#handle, entry.offset + from, Math.max(0, entry.size - from))
  }

  async readAll(cx: Context, entry: TarEntry, maxBytes: number): Promise<Buffer> {
    if (entry.size > maxBytes) {
      throw new StaveError(
        'too-large',
        `cannot read ${entry.name} in ${this.title}: it has ${entry.size} bytes, more than the ${maxBytes} that are allowed`,
      )
    }
    return Buffer.concat(await Array.fromAsync(this.read(cx, entry)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}
