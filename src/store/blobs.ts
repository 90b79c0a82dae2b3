import { layout } from './layout.ts'
import {
  closeSync,
  constants,
  fdatasyncSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Bytes } from '#image/content.ts'
import { writeRange } from '#image/file.ts'
import { verified } from '#image/read.ts'
import { digestAlgorithm, digestOf, type Digest } from '#oci/digest.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Place } from '#runner/protocol.ts'
import { createKnown, type Known, readBlob, readSmall, readVerified, smallBytes } from './read.ts'
import type { Database } from './database.ts'
import { isAlive, ownerOf, ownerPrefix } from './owner.ts'
import { makePrivateDirectory } from './private.ts'
import { randomHex } from './random.ts'
import type { Blobs } from './store.ts'

/** The part of blobs that only the store itself uses. */
export interface BlobFiles extends Blobs {
  /** Streams content into a blob; all or nothing. */
  receive(cx: Context, what: Descriptor, bytes: Bytes): Promise<void>
  /** Makes a verified copy of `path` a blob: a reflink where the file system can do that. */
  copyIn(cx: Context, what: Descriptor, path: string): Promise<boolean>
  /** With `recheck`, nothing is believed of an earlier reading. */
  stream(cx: Context, what: Descriptor, from: number, options?: { readonly recheck?: boolean }): Bytes
  readSync(digest: Digest, maxBytes: number): Uint8Array
  /** Notes that a blob is in use now; false if it is not there (or has another size). */
  touch(digest: Digest, size?: number): boolean
  sizeOf(digest: Digest): number | undefined
  /** Waits until all that was received is on the disk. */
  settle(): Promise<void>
  /** Removes temporary files whose makers are dead. */
  sweep(): void
}

/**
 * Blobs are files in `blobs/<algorithm>/<hex>`. They appear by rename, whole and verified. There is no table of them:
 * the directory is the truth, and a file's modification time says when it was last written or found present.
 */
export function createBlobs(root: string, directory: number, database: Database, onWrite: () => void): BlobFiles {
  const shelf: Shelf = { root, onWrite, known: createKnown(database), made: new Set(), settling: new Set(), settleError: undefined }
  const path = (digest: Digest) => pathOf(shelf, digest)
  return {
    place: (digest) => ({ fd: directory, path: layout.blob(digest) }),
    path,
    async has(digest, size) {
      return sizeOf(path(digest), size) !== undefined
    },
    touch: (digest, size) => touch(shelf, digest, size),
    sizeOf: (digest) => sizeOf(path(digest)),
    async put(bytes) {
      const digest = digestOf(bytes)
      if (!touch(shelf, digest, bytes.length)) writeWhole(shelf, digest, bytes)
      return { digest, size: bytes.length }
    },
    async read(digest, maxBytes) {
      return readBlob(shelf.known, path(digest), digest, maxBytes)
    },
    readSync: (digest, maxBytes) => readBlob(shelf.known, path(digest), digest, maxBytes),
    async temporary() {
      return { fd: directory, path: temporaryName(shelf) }
    },
    async adopt(temporary, digest, size) {
      const name = temporaryPath(temporary)
      const actual = sizeOf(join(root, name))
      if (actual !== size) {
        unlink(shelf, name)
        throw new StaveError('size-mismatch', `cannot store ${digest}: its file has ${actual ?? 'no'} bytes, not ${size}`)
      }
      publish(shelf, name, digest)
    },
    async discard(temporary) {
      unlink(shelf, temporaryPath(temporary))
    },
    receive: (cx, what, bytes) => receive(cx, shelf, what, bytes),
    copyIn: (cx, what, from) => copyIn(cx, shelf, what, from),
    stream(cx, what, from, options = {}) {
      const isSmall = from === 0 && what.size <= smallBytes && options.recheck !== true
      const file = path(what.digest)
      const bytes = isSmall ? readSmall(shelf.known, file, what) : readVerified(cx, file, what, from, 'the store')
      return from === 0 ? Object.assign(bytes, { verifies: what.digest }) : bytes
    },
    settle: () => settle(shelf),
    sweep: () => sweep(shelf),
  }
}

/** The blobs of one store, and what this process knows of them. */
interface Shelf {
  readonly root: string
  /** Called before this process writes. */
  readonly onWrite: () => void
  readonly known: Known
  /** The directories that are there for certain. */
  readonly made: Set<string>
  /** Blobs on their way to the disk, and the first failure of those that ended. */
  readonly settling: Set<Promise<void>>
  settleError: unknown
}

function pathOf({ root }: Shelf, digest: Digest): string {
  return join(root, layout.blob(digest))
}

function ensureDirectory({ root, made }: Shelf, name: string): void {
  if (made.has(name)) return
  makePrivateDirectory(join(root, name))
  made.add(name)
}

function temporaryName(shelf: Shelf): string {
  if (!shelf.made.has(layout.temporary)) {
    ensureDirectory(shelf, layout.temporary)
    sweep(shelf)
    shelf.onWrite()
  }
  return `${layout.temporary}/${ownerPrefix()}${randomHex(6)}`
}

/** The rename that makes a blob visible. A blob that is there already is the same one. */
function publish(shelf: Shelf, temporary: string, digest: Digest): void {
  ensureDirectory(shelf, layout.blobsOf(digestAlgorithm(digest)))
  renameSync(join(shelf.root, temporary), pathOf(shelf, digest))
}

function unlink({ root }: Shelf, temporary: string): void {
  try {
    unlinkSync(join(root, temporary))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function touch(shelf: Shelf, digest: Digest, size?: number): boolean {
  const path = pathOf(shelf, digest)
  if (sizeOf(path, size) === undefined) return false
  shelf.onWrite()
  try {
    const now = Date.now() / 1000
    utimesSync(path, now, now)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

function writeWhole(shelf: Shelf, digest: Digest, bytes: Uint8Array): void {
  const temporary = temporaryName(shelf)
  try {
    const file = openSync(join(shelf.root, temporary), 'wx', 0o644)
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
    } finally {
      closeSync(file)
    }
    publish(shelf, temporary, digest)
  } catch (error) {
    unlink(shelf, temporary)
    throw writeProblem(shelf.root, error)
  }
}

async function receive(cx: Context, shelf: Shelf, what: Descriptor, bytes: Bytes): Promise<void> {
  const name = temporaryName(shelf)
  try {
    const file = await open(join(shelf.root, name), 'wx', 0o644)
    try {
      await writeRange(cx, file, 0, verified(bytes, what, 'its source'))
    } catch (error) {
      await file.close()
      throw error
    }
    // The flush goes on while other blobs arrive; settle() waits for it before a name makes them visible.
    const flush = file
      .datasync()
      .catch((error: unknown) => {
        shelf.settleError ??= error
      })
      .finally(() => file.close())
      .finally(() => shelf.settling.delete(flush))
    shelf.settling.add(flush)
    publish(shelf, name, what.digest)
  } catch (error) {
    unlink(shelf, name)
    throw writeProblem(shelf.root, error)
  }
}

async function copyIn(cx: Context, shelf: Shelf, what: Descriptor, from: string): Promise<boolean> {
  const name = temporaryName(shelf)
  const copy = join(shelf.root, name)
  try {
    const { copyFile } = await import('node:fs/promises')
    await copyFile(from, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    // What is verified is the copy: the original may be changed at any time.
    for await (const _ of readVerified(cx, copy, what, 0, from)) {
      // Reading to the end is the verification.
    }
    const file = openSync(copy, 'r')
    try {
      fdatasyncSync(file)
    } finally {
      closeSync(file)
    }
    publish(shelf, name, what.digest)
    return true
  } catch (error) {
    unlink(shelf, name)
    if (hasCode(error, 'digest-mismatch', 'size-mismatch', 'cancelled')) throw error
    if (['ENOENT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw writeProblem(shelf.root, error)
  }
}

async function settle(shelf: Shelf): Promise<void> {
  while (shelf.settling.size > 0) await Promise.all(shelf.settling)
  if (shelf.settleError === undefined) return
  const error = shelf.settleError
  shelf.settleError = undefined
  throw writeProblem(shelf.root, error)
}

function sweep(shelf: Shelf): void {
  for (const entry of readdirSync(join(shelf.root, layout.temporary))) {
    const owner = ownerOf(entry)
    if (owner === undefined || !isAlive(owner)) unlink(shelf, `${layout.temporary}/${entry}`)
  }
}

function temporaryPath(temporary: Place): string {
  if (temporary.path?.startsWith(`${layout.temporary}/`) !== true) throw new TypeError('not a temporary file of this store')
  return temporary.path
}

function sizeOf(path: string, expected?: number): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined || !stat.isFile()) return undefined
  return expected === undefined || stat.size === expected ? stat.size : undefined
}

function writeProblem(root: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new StaveError('no-space', `cannot write to the store ${root}: the disk is full`, {
      cause: error,
      hint: 'stave prune removes what is not used.',
    })
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new StaveError('permission', `cannot write to the store ${root}`, {
      cause: error,
      hint: 'Choose another directory with --root.',
    })
  }
  return error
}
