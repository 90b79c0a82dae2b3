import { createWriteStream } from 'node:fs'
import { chmod, copyFile, lstat, mkdir, mkdtemp, realpath, rename, rm, symlink } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, relative, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import type { Context } from '#context.ts'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import { decompress } from '#image/decompress.ts'
import { withFileErrors, writeFileVerified } from '#image/file.ts'
import { verified } from '#image/read.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { unpackAnnotation } from './artifact.ts'

/** Where the files of an artifact go. */
export interface UnpackTarget {
  readonly directory: string
  /** A file that is there already is a failure. */
  readonly keepOld: boolean
}

/**
 * Writes a layer of an artifact to where its title says, below a directory; a packed directory is put back. It appears
 * when it is whole. Names and links that lead out of the directory are refused, whatever is there already.
 *
 * @returns the path that was written
 * @throws StaveError `escape`, `conflict`, and what the source throws
 */
export async function unpackLayer(cx: Context, source: Source, layer: Descriptor, title: string, target: UnpackTarget): Promise<string> {
  const path = await placeOf(target.directory, title)
  return withFileErrors(`write ${path}`, async () => {
    const there = await lstat(path).catch(() => undefined)
    if (there !== undefined && target.keepOld)
      throw new StaveError('conflict', `cannot write ${path}: it is there already`, { hint: 'Without --keep-old-files it is replaced.' })
    if (layer.annotations?.[unpackAnnotation] === 'true') await unpackDirectory(cx, source, layer, path, title)
    else {
      if (there?.isDirectory()) throw new StaveError('conflict', `cannot write ${path}: there is a directory`)
      await writeFileVerified(cx, path, layer, await source.open(cx, layer), source.title)
    }
    return path
  })
}

/** The path of a title, whose directories are made. @throws StaveError `escape` */
async function placeOf(directory: string, title: string): Promise<string> {
  const path = resolve(directory, title)
  if (!isInside(directory, path) || isAbsolute(title) || title.includes('\0')) {
    throw new StaveError('escape', `cannot write ${JSON.stringify(title)}: it is not below ${directory}`, {
      hint: 'Whoever made the artifact gave a file that name. Do not use it.',
    })
  }
  await withFileErrors(`make a directory for ${path}`, async () => makeDirectories(dirname(path)))
  // A link that is there may lead anywhere.
  if (!isInside(await realpath(directory), join(await realpath(dirname(path)), 'x')))
    throw new StaveError('escape', `cannot write ${path}: a link leads out of ${directory}`)
  return path
}

function isInside(directory: string, path: string): boolean {
  const from = relative(directory, path)
  return from !== '' && from !== '..' && !from.startsWith('../') && !isAbsolute(from)
}

/**
 * Unpacks beside the path, into a directory that is new: no link is there before the archive's own, and these are made
 * last, so that nothing is written through one.
 */
async function unpackDirectory(cx: Context, source: Source, layer: Descriptor, path: string, title: string): Promise<void> {
  const temporary = await mkdtemp(`${path}.stave-`)
  try {
    const links: { readonly at: string; readonly target: string }[] = []
    const archive = extract()
    const tar = decompress(cx, verified(await source.open(cx, layer), layer, source.title), 'gzip')
    const feeding = pipeline(Readable.from(tar), archive, { signal: cx.signal })
    feeding.catch(() => {})
    let entries = 0
    for await (const entry of archive) {
      if (++entries > limit.archiveEntries)
        throw new StaveError('too-large', `cannot unpack ${title}: it has more than ${limit.archiveEntries} entries`)
      const at = placeInArchive(temporary, entry.header.name, title)
      if (at !== undefined) await unpackEntry(entry as unknown as Readable, entry.header, at, temporary, title, links)
      entry.resume()
    }
    await feeding
    for (const { at, target } of links) await symlink(target, at)
    await rm(path, { recursive: true, force: true })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
}

async function unpackEntry(
  content: Readable,
  header: Header,
  at: string,
  root: string,
  title: string,
  links: { readonly at: string; readonly target: string }[],
): Promise<void> {
  const mode = (header.mode ?? 0o644) & 0o777
  await mkdir(dirname(at), { recursive: true })
  switch (header.type) {
    case 'directory':
      await mkdir(at, { recursive: true })
      return chmod(at, mode | 0o700)
    case 'file':
    case 'contiguous-file':
      return pipeline(content, createWriteStream(at, { mode, flags: 'w' }))
    case 'link':
      return copyFile(placeInArchive(root, header.linkname ?? '', title) ?? root, at)
    case 'symlink': {
      const target = header.linkname ?? ''
      if (isAbsolute(target) || !isInside(root, resolve(dirname(at), target))) throw escaping(title, header.name)
      return void links.push({ at, target })
    }
    default:
      throw new StaveError(
        'invalid-document',
        `cannot unpack ${title}: ${JSON.stringify(header.name)} is neither a file, a directory nor a link`,
      )
  }
}

/** Names in the archive begin with the directory's own, which is renamed to the title. Undefined: the directory itself. */
function placeInArchive(root: string, name: string, title: string): string | undefined {
  const clean = normalize(name).replace(/\/+$/, '')
  const prefix = normalize(title).replace(/\/+$/, '')
  if (clean === prefix || clean === '.') return undefined
  const inside = clean.startsWith(`${prefix}/`) ? clean.slice(prefix.length + 1) : clean
  const at = resolve(root, inside)
  if (isAbsolute(name) || !isInside(root, at)) throw escaping(title, name)
  return at
}

function escaping(title: string, name: string): StaveError {
  return new StaveError('escape', `cannot unpack ${JSON.stringify(title)}: ${JSON.stringify(name)} leads out of it`, {
    hint: 'Whoever made the artifact did that on purpose. Do not use it.',
  })
}
