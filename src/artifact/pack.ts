import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, open, readdir, readlink, rm } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pack, type Pack } from 'tar-stream'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Source } from '#image/content.ts'
import { readRange, withFileErrors, writeRange } from '#image/file.ts'
import { compress, layerFiles } from '#image/layer-file.ts'
import { observed } from '#image/read.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { contentAnnotation, titleAnnotation, unpackAnnotation } from './artifact.ts'

/** A file or directory of a person, as a layer of an artifact. Disposing it removes what was made for it. */
export interface PackedFile extends AsyncDisposable {
  readonly descriptor: Descriptor
  readonly source: Source
}

export interface PackOptions {
  /** What it is called in the artifact: a path without `..`. */
  readonly title: string
  /** Default: that of a layer, as oras has it. */
  readonly mediaType?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** The directory in which a packed directory waits for its target. */
  readonly temporary: string
}

/**
 * A file as it is, or a directory as a tar that is compressed with gzip, with the annotations by which oras puts it back.
 * The same directory gives the same bytes: entries are sorted, and have neither times nor owners.
 *
 * @throws StaveError what the operating system says; `unsupported` for what is neither
 */
export async function packFile(cx: Context, path: string, options: PackOptions): Promise<PackedFile> {
  return withFileErrors(`read ${path}`, async () => {
    const found = await lstat(path)
    // A link that a person names is what it leads to.
    const isDirectory = found.isDirectory() || (found.isSymbolicLink() && (await isDirectoryAt(path)))
    return isDirectory ? packDirectory(cx, path, options) : packOne(cx, path, options)
  })
}

async function isDirectoryAt(path: string): Promise<boolean> {
  const handle = await open(path, 'r')
  try {
    return (await handle.stat()).isDirectory()
  } finally {
    await handle.close()
  }
}

async function packOne(cx: Context, path: string, { title, mediaType, annotations }: PackOptions): Promise<PackedFile> {
  const handle = await open(path, 'r')
  try {
    if (!(await handle.stat()).isFile()) throw new StaveError('unsupported', `cannot use ${path}: it is neither a file nor a directory`)
    const hasher = createHasher()
    for await (const chunk of readRange(cx, handle, 0, Number.MAX_SAFE_INTEGER)) hasher.update(chunk)
    const [size, digest] = [hasher.size, hasher.digest()]
    return {
      descriptor: { mediaType: mediaType ?? mediaTypes.ociLayer, digest, size, annotations: { [titleAnnotation]: title, ...annotations } },
      source: layerFiles(path, [{ digest, size, path }]),
      async [Symbol.asyncDispose]() {},
    }
  } finally {
    await handle.close()
  }
}

async function packDirectory(cx: Context, path: string, options: PackOptions): Promise<PackedFile> {
  const { title, temporary } = options
  const file = join(temporary, `artifact-${randomBytes(6).toString('hex')}`)
  const [plain, whole] = [createHasher(), createHasher()]
  const handle = await open(file, 'wx')
  try {
    const tar = pack()
    const filling = fill(cx, tar, path, title).then(
      () => tar.finalize(),
      (error: unknown) => tar.destroy(error as Error),
    )
    const gzipped = compress(
      observed(tar as unknown as Bytes, (chunk) => plain.update(chunk)),
      'gzip',
    )
    const size = await writeRange(
      cx,
      handle,
      0,
      observed(gzipped, (chunk) => whole.update(chunk)),
    )
    await filling
    const digest = whole.digest()
    const annotations = {
      [titleAnnotation]: title,
      [contentAnnotation]: plain.digest(),
      [unpackAnnotation]: 'true',
      ...options.annotations,
    }
    return {
      descriptor: { mediaType: options.mediaType ?? mediaTypes.ociLayerGzip, digest, size, annotations },
      source: layerFiles(path, [{ digest, size, path: file }]),
      [Symbol.asyncDispose]: () => rm(file, { force: true }),
    }
  } catch (error) {
    await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

async function fill(cx: Context, tar: Pack, path: string, name: string): Promise<void> {
  cx.signal.throwIfAborted()
  const found = await lstat(path)
  const header = { name, mode: found.mode & 0o777, mtime: new Date(0) }
  if (found.isSymbolicLink()) tar.entry({ ...header, type: 'symlink', linkname: await readlink(path) })
  else if (found.isFile()) await pipeline(createReadStream(path), tar.entry({ ...header, size: found.size }))
  else if (found.isDirectory()) {
    tar.entry({ ...header, type: 'directory' })
    for (const child of (await readdir(path)).toSorted()) await fill(cx, tar, join(path, child), posix.join(name, child))
  } else throw new StaveError('unsupported', `cannot pack ${path}: it is neither a file, a directory nor a link`)
}
