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
import { createKnown, readBlob, readSmall, readVerified, smallBytes } from './read.ts'
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
  const known = createKnown(database)
  const settling = new Set<Promise<void>>()
  const made = new Set<string>()
  let settleError: unknown

  const relative = layout.blob
  const path = (digest: Digest) => join(root, relative(digest))

  function ensureDirectory(name: string): void {
    if (made.has(name)) return
    makePrivateDirectory(join(root, name))
    made.add(name)
  }

  function temporaryName(): string {
    if (!made.has(layout.temporary)) {
      ensureDirectory(layout.temporary)
      blobs.sweep()
      onWrite()
    }
    return `${layout.temporary}/${ownerPrefix()}${randomHex(6)}`
  }

  /** The rename that makes a blob visible. A blob that is there already is the same one. */
  function publish(temporary: string, digest: Digest): void {
    ensureDirectory(layout.blobsOf(digestAlgorithm(digest)))
    renameSync(join(root, temporary), path(digest))
  }

  function unlink(temporary: string): void {
    try {
      unlinkSync(join(root, temporary))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  const blobs: BlobFiles = {
    place: (digest) => ({ fd: directory, path: relative(digest) }),
    path,
    async has(digest, size) {
      return sizeOf(path(digest), size) !== undefined
    },
    touch(digest, size) {
      if (sizeOf(path(digest), size) === undefined) return false
      onWrite()
      try {
        const now = Date.now() / 1000
        utimesSync(path(digest), now, now)
        return true
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
        throw error
      }
    },
    sizeOf: (digest) => sizeOf(path(digest)),
    async put(bytes) {
      const digest = digestOf(bytes)
      const result = { digest, size: bytes.length }
      if (blobs.touch(digest, bytes.length)) return result
      const temporary = temporaryName()
      try {
        const file = openSync(join(root, temporary), 'wx', 0o644)
        try {
          for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
        } finally {
          closeSync(file)
        }
        publish(temporary, digest)
      } catch (error) {
        unlink(temporary)
        throw writeProblem(root, error)
      }
      return result
    },
    async read(digest, maxBytes) {
      return readBlob(known, path(digest), digest, maxBytes)
    },
    readSync: (digest, maxBytes) => readBlob(known, path(digest), digest, maxBytes),
    async temporary() {
      const name = temporaryName()
      return { fd: directory, path: name }
    },
    async adopt(temporary, digest, size) {
      const name = temporaryPath(temporary)
      const actual = sizeOf(join(root, name))
      if (actual !== size) {
        unlink(name)
        throw new StaveError('size-mismatch', `cannot store ${digest}: its file has ${actual ?? 'no'} bytes, not ${size}`)
      }
      publish(name, digest)
    },
    async discard(temporary) {
      unlink(temporaryPath(temporary))
    },
    async receive(cx, what, bytes) {
      const name = temporaryName()
      try {
        const file = await open(join(root, name), 'wx', 0o644)
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
            settleError ??= error
          })
          .finally(() => file.close())
          .finally(() => settling.delete(flush))
        settling.add(flush)
        publish(name, what.digest)
      } catch (error) {
        unlink(name)
        throw writeProblem(root, error)
      }
    },
    async copyIn(cx, what, from) {
      const name = temporaryName()
      try {
        const { copyFile } = await import('node:fs/promises')
        await copyFile(from, join(root, name), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
        // What is verified is the copy: the original may be changed at any time.
        for await (const _ of readVerified(cx, join(root, name), what, 0, from)) {
          // Reading to the end is the verification.
        }
        const file = openSync(join(root, name), 'r')
        try {
          fdatasyncSync(file)
        } finally {
          closeSync(file)
        }
        publish(name, what.digest)
        return true
      } catch (error) {
        unlink(name)
        if (hasCode(error, 'digest-mismatch', 'size-mismatch', 'cancelled')) throw error
        if (['ENOENT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
        throw writeProblem(root, error)
      }
    },
    stream(cx, what, from, options = {}) {
      const isSmall = from === 0 && what.size <= smallBytes && options.recheck !== true
      const bytes = isSmall ? readSmall(known, path(what.digest), what) : readVerified(cx, path(what.digest), what, from, 'the store')
      return from === 0 ? Object.assign(bytes, { verifies: what.digest }) : bytes
    },
    async settle() {
      while (settling.size > 0) await Promise.all(settling)
      if (settleError === undefined) return
      const error = settleError
      settleError = undefined
      throw writeProblem(root, error)
    },
    sweep() {
      for (const entry of readdirSync(join(root, layout.temporary))) {
        const owner = ownerOf(entry)
        if (owner === undefined || !isAlive(owner)) unlink(`${layout.temporary}/${entry}`)
      }
    },
  }
  return blobs
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
