import { constants, statSync } from 'node:fs'
import { copyFile, lstat, mkdir, open, readdir, stat } from 'node:fs/promises'
import { join, resolve as absolute } from 'node:path'
import type { Context } from '#context.ts'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import type { Listed, Target } from '#image/content.ts'
import { findEntry, isNamed, listEntries, namesOf, withName } from '#image/entries.ts'
import { fileError, readRange, readWholeFile, replaceFile, withFileErrors, writeFileVerified } from '#image/file.ts'
import { encode, parseKeeping, patch } from '#image/json.ts'
import { verified } from '#image/read.ts'
import { findReferrers, referrerOf } from '#image/referrer.ts'
import * as limit from '#limit.ts'
import { fieldsOf, parseJson } from '#oci/decode.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestAlgorithm, digestHex, digestOf, isDigest, type Digest } from '#oci/digest.ts'
import { decodeIndex, decodeManifestOrIndex, sniffMediaType } from '#oci/manifest.ts'
import { isManifestOrIndex, mediaTypes } from '#oci/media-type.ts'
import { withLock } from './lock.ts'

/** A directory in the form of image-spec, "Image Layout". */
export interface Layout extends Target {
  readonly path: string
  list(cx: Context): Promise<readonly Listed[]>
  file(what: Descriptor): string | undefined
}

export interface LayoutOptions {
  /** Makes the directory, or a layout in an empty one, where there is none yet. */
  readonly create?: boolean
  /** Where blobs are instead of in the layout, by algorithm: shared with other layouts. */
  readonly blobs?: string
}

const indexFile = 'index.json'
const layoutFile = 'oci-layout'
const lockFile = '.stave.lock'
/** Any digest of the algorithm that all layouts have a directory for. */
const emptyDigest = digestOf('')

/**
 * Opens an OCI layout. Several processes may write it at once: a blob appears when it is whole, and index.json is
 * replaced under a lock, so that no entry is lost.
 *
 * @throws StaveError `not-found`, `unsupported` (its version), `conflict` (a directory with other things)
 */
export async function openLayout(path: string, options: LayoutOptions = {}): Promise<Layout> {
  const root = absolute(path)
  await withFileErrors(`open the OCI layout ${path}`, async () => {
    if (!(await checkVersion(root))) {
      if (options.create !== true) {
        throw new StaveError('not-found', `cannot open the OCI layout ${path}: there is no file ${layoutFile}`, {
          hint: 'Check the path: an OCI layout is a directory with oci-layout, index.json and blobs.',
        })
      }
      await create(root, options.blobs !== undefined)
    }
  })
  return layoutAt(root, options.blobs === undefined ? undefined : absolute(options.blobs))
}

async function checkVersion(root: string): Promise<boolean> {
  let bytes: Buffer
  try {
    bytes = await readWholeFile(join(root, layoutFile), limit.manifestBytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  const document = join(root, layoutFile)
  const fields = fieldsOf(parseJson(bytes, limit.manifestBytes, document), { document, section: 'image-spec, "oci-layout file"', path: '' })
  const version = fields['imageLayoutVersion']
  if (typeof version !== 'string' || !version.startsWith('1.'))
    throw new StaveError('unsupported', `cannot open the OCI layout ${root}: its version is ${JSON.stringify(version)}, not 1`)
  return true
}

async function create(root: string, isShared: boolean): Promise<void> {
  makeDirectories(root)
  const others = (await readdir(root)).filter(
    (name) => name !== 'blobs' && name !== indexFile && !name.startsWith('oci-layout') && !name.startsWith(indexFile),
  )
  if (others.length > 0) {
    throw new StaveError('conflict', `cannot make an OCI layout of ${root}: it has other things in it (${others.slice(0, 3).join(', ')})`, {
      hint: 'Choose an empty or new directory.',
    })
  }
  await (isShared ? mkdir(join(root, 'blobs'), { recursive: true }) : makeBlobDirectory(root, emptyDigest))
  try {
    await stat(join(root, indexFile))
  } catch {
    await replaceFile(join(root, indexFile), (temporary) =>
      write(temporary, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }),
    )
  }
  // Last: with it, it is a layout.
  await replaceFile(join(root, layoutFile), (temporary) => write(temporary, { imageLayoutVersion: '1.0.0' }))
}

/** Makes the directory of a blob, unless it is a link: what is written must lie in the layout, whoever made that. */
async function makeBlobDirectory(root: string, digest: Digest, blobs = join(root, 'blobs')): Promise<void> {
  for (const directory of [blobs, join(blobs, digestAlgorithm(digest))]) {
    await mkdir(directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
    if ((await lstat(directory)).isSymbolicLink()) {
      throw new StaveError('escape', `cannot write ${digest} to oci:${root}: ${directory} is a symbolic link`, {
        hint: 'Nothing is written through a link in a layout. Replace it with a directory, or choose another place.',
      })
    }
  }
}

async function write(path: string, document: unknown): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    await handle.writeFile(encode(document))
  } finally {
    await handle.close()
  }
}

/** Where the files of a layout are. */
interface Files {
  readonly title: string
  readonly path: string
  readonly index: string
  /** Where blobs are instead of in the layout. */
  readonly shared: string | undefined
}

function blobPath({ path, shared }: Files, digest: Digest): string {
  return join(shared ?? join(path, 'blobs'), digestAlgorithm(digest), digestHex(digest))
}

function readIndex({ index }: Files): Promise<Uint8Array> {
  return withFileErrors(`read ${index}`, () => readWholeFile(index, limit.manifestBytes))
}

async function entriesOf(files: Files): Promise<readonly Descriptor[]> {
  return decodeIndex(await readIndex(files), { title: files.index }).manifests
}

/** A manifest, if it is there and not larger than one may be. */
async function readSmall(files: Files, digest: Digest): Promise<Buffer | undefined> {
  const path = blobPath(files, digest)
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.isFile() === true && found.size <= limit.manifestBytes ? readWholeFile(path, limit.manifestBytes) : undefined
}

/** Replaces the entries of index.json, under the lock of the layout. */
function updateIndex(cx: Context, files: Files, change: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
  return withFileErrors(`write the index of ${files.title}`, () =>
    withLock(cx, join(files.path, lockFile), async () => {
      const raw = await readIndex(files)
      const decoded = decodeIndex(raw, { title: files.index }).manifests
      const before = parseKeeping(raw)
      // An entry that stays is written as it was, with the fields that only others know.
      const originals = new Map(decoded.map((entry, position) => [entry, (before['manifests'] as readonly unknown[])[position]] as const))
      const manifests = change(decoded).map((entry) => originals.get(entry) ?? entry)
      await replaceFile(files.index, (temporary) => write(temporary, patch(before, { manifests })))
    }),
  )
}

/** In a layout, what refers to something else is found only among the entries. */
async function listReferrer(cx: Context, files: Files, what: Descriptor): Promise<void> {
  const raw = isManifestOrIndex(what.mediaType) ? await readSmall(files, what.digest) : undefined
  if (raw === undefined) return
  const document = decodeManifestOrIndex(raw, { mediaType: what.mediaType, title: what.digest })
  const subject = document.kind === 'manifest' ? document.manifest.subject : document.index.subject
  const referrer = subject === undefined ? undefined : referrerOf(subject.digest, what, raw)
  if (referrer === undefined) return
  await updateIndex(cx, files, (before) => (before.some((entry) => entry.digest === what.digest) ? before : [...before, referrer]))
}

/** What an index holds is found through it, and needs no entry of its own: whoever wants one image finds one. */
async function mentionedBy(files: Files, root: Descriptor): Promise<ReadonlySet<Digest>> {
  const raw = isManifestOrIndex(root.mediaType) ? await readSmall(files, root.digest) : undefined
  const document = raw === undefined ? undefined : decodeManifestOrIndex(raw, { mediaType: root.mediaType, title: root.digest })
  return new Set(document?.kind === 'index' ? document.index.manifests.map(({ digest }) => digest) : [])
}

/** An object of functions, none of which needs `this`: who wants another title or one method changed spreads it. */
function layoutAt(path: string, shared: string | undefined): Layout {
  const title = `oci:${path}`
  const files: Files = { title, path, index: join(path, indexFile), shared }
  const has = (what: Descriptor): boolean => isFile(blobPath(files, what.digest), what.size)
  const layout: Layout = {
    path,
    title,
    async list() {
      return listEntries(await entriesOf(files))
    },
    async resolve(cx, name) {
      const list = await layout.list(cx)
      if (!isDigest(name) || list.some((entry) => entry.descriptor.digest === name)) return findEntry(list, name, title)
      // A manifest that only an index mentions.
      const raw = await readSmall(files, name)
      if (raw === undefined) throw new StaveError('not-found', `cannot find a manifest ${name} in ${title}`)
      return { mediaType: sniffMediaType(raw), digest: name, size: raw.length }
    },
    async open(cx, what, from = 0) {
      if (!isFile(blobPath(files, what.digest))) throw new StaveError('blob-unknown', `cannot read ${what.digest}: it is not in ${title}`)
      return stream(cx, blobPath(files, what.digest), what, from, title)
    },
    file: (what) => (has(what) ? blobPath(files, what.digest) : undefined),
    has: async (_cx, what) => has(what),
    async write(cx, what, bytes) {
      const blob = blobPath(files, what.digest)
      await withFileErrors(`write ${what.digest} to ${title}`, async () => {
        await makeBlobDirectory(path, what.digest, shared)
        await writeFileVerified(cx, blob, what, bytes, 'its source')
        await listReferrer(cx, files, what)
      })
    },
    async adopt(cx, what, from) {
      const other = from.file?.(what)
      if (other === undefined) return false
      const blob = blobPath(files, what.digest)
      await withFileErrors(`copy ${other} to ${title}`, async () => {
        await makeBlobDirectory(path, what.digest, shared)
        // Never a hard link: whoever edits a file of the layout must not edit it in the other place.
        await replaceFile(blob, async (temporary) => {
          await copyFile(other, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
          for await (const _ of stream(cx, temporary, what, 0, from.title)) cx.signal.throwIfAborted()
        })
        await listReferrer(cx, files, what)
      })
      return true
    },
    async name(cx, root, name) {
      if (!has(root)) throw new StaveError('blob-unknown', `cannot name ${root.digest}: it is not in ${title}`)
      const entry = withName(root, name)
      const mentioned = await mentionedBy(files, root)
      await updateIndex(cx, files, (before) => {
        // Without a name, it is there already if it is there at all.
        if (name === '' && before.some((other) => other.digest === root.digest)) return before
        const stay = before.filter(
          (other) => !isReplaced(other, root, name) && !(mentioned.has(other.digest) && namesOf(other).length === 0),
        )
        return [...stay, entry]
      })
    },
    async referrers(_cx, subject) {
      return findReferrers(subject, await entriesOf(files), (what) => readSmall(files, what.digest))
    },
    async [Symbol.asyncDispose]() {},
  }
  return layout
}

/** A name is one entry's. An entry without a name that is the same content gives way to the one with a name. */
function isReplaced(other: Descriptor, root: Descriptor, name: string): boolean {
  return isNamed(other, name) || (other.digest === root.digest && namesOf(other).length === 0)
}

function isFile(path: string, size?: number): boolean {
  // A blob may be a symbolic link (shared blob directories are made so), but never a pipe or device: opening one could block.
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.isFile() === true && (size === undefined || found.size === size)
}

async function* stream(
  cx: Context,
  path: string,
  what: Descriptor,
  from: number,
  title: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw fileError(error, `read ${path}`)
  })
  try {
    const bytes = readRange(cx, handle, from, Number.MAX_SAFE_INTEGER - from)
    yield* from > 0 ? bytes : verified(bytes, what, title)
  } finally {
    await handle.close()
  }
}
