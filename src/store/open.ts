import { join } from 'node:path'
import { layout } from './layout.ts'
import { closeSync, constants, openSync } from 'node:fs'
import { StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestHex, parseDigest, type Digest } from '#oci/digest.ts'
import { sniffMediaType } from '#oci/manifest.ts'
import { isManifestOrIndex } from '#oci/media-type.ts'
import { formatReference, isImageId, parseReference } from '#oci/reference.ts'
import type { Runner } from '#runner/runner.ts'
import { createBlobs, type BlobFiles } from './blobs.ts'
import { createCacheRecords } from './cache.ts'
import { createDatabase, type Database } from './database.ts'
import { createLeases, registerWriter, unregisterWriter } from './leases.ts'
import { createNames, imagesById, indexDocument, referrersOf } from './names.ts'
import { closeToOthers, makePrivateRoot } from './private.ts'
import { createSnapshots, type StorageDriver } from './snapshots.ts'
import type { NameRecord, Names, Store } from './store.ts'

export interface StoreOptions {
  /** Made if it is not there. */
  readonly root: string
  readonly runner: Runner
  /** What layers are made into. Default: `dir`. */
  readonly driver?: StorageDriver | undefined
  /**
   * The process is ended at once after the store is disposed of: leave the database to that. Closing its last
   * connection would write its log back into it and wait for the disk, some milliseconds at the end of every command.
   */
  readonly exits?: boolean
}

/** The store and what the folders that keep rows of their own in it (containers, volumes, prune, doctor) need. */
export interface LocalStore extends Store {
  readonly database: Database
  readonly files: BlobFiles
}

/**
 * Opens the store. It costs three system calls: the database is opened by the first question to it. A store that was
 * open to other users is closed to them.
 *
 * @throws StaveError `permission`, `io`
 */
export async function openStore(options: StoreOptions): Promise<LocalStore> {
  const { root, runner } = options
  const directory = openRoot(root)
  const database = createDatabase(join(root, layout.database))
  let writes = false
  const register = () => {
    if (writes) return
    writes = true
    registerWriter(database)
  }
  const files = createBlobs(root, directory, database, register)
  const names = createNames(database, files)
  const snapshots = createSnapshots({
    root,
    directory,
    database,
    blobs: files,
    runner,
    onUse: register,
    ...(options.driver !== undefined && { driver: options.driver }),
  })

  function index(what: Descriptor): void {
    if (isManifestOrIndex(what.mediaType)) database.transaction(() => indexDocument(database, files, what))
  }

  return {
    title: 'the store',
    root,
    directory,
    runner,
    database,
    files,
    blobs: files,
    names,
    snapshots,
    cache: createCacheRecords(database),
    leases: createLeases(database),
    async resolve(_cx, name) {
      return resolveName(database, files, names, name)
    },
    async open(cx, what, from = 0) {
      if (!(await files.has(what.digest))) throw new StaveError('blob-unknown', `cannot read ${what.digest}: the store does not have it`)
      return files.stream(cx, what, from)
    },
    async referrers(_cx, subject) {
      return referrersOf(database, subject)
    },
    file(what) {
      return files.touch(what.digest, what.size) ? files.path(what.digest) : undefined
    },
    async has(_cx, what) {
      return files.touch(what.digest, what.size)
    },
    async write(cx, what, bytes) {
      if (files.touch(what.digest, what.size)) return void (await bytes[Symbol.asyncIterator]().return?.())
      await files.receive(cx, what, bytes)
      index(what)
    },
    async adopt(cx, what, from: Source) {
      const path = from.file?.(what)
      if (path === undefined || !(await files.copyIn(cx, what, path))) return false
      index(what)
      return true
    },
    async name(_cx, root, name) {
      await files.settle()
      names.set(normalizeName(name), root)
    },
    async [Symbol.asyncDispose]() {
      await files.settle()
      await snapshots.settle()
      if (writes) unregisterWriter(database)
      if (options.exits !== true) database[Symbol.dispose]()
      closeSync(directory)
    },
  }
}

function openRoot(root: string): number {
  const open = () => openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const directory = open()
    closeToOthers(root, directory)
    return directory
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw rootProblem(root, error)
  }
  try {
    makePrivateRoot(root)
    return open()
  } catch (error) {
    throw rootProblem(root, error)
  }
}

function rootProblem(root: string, cause: unknown): StaveError {
  const code = (cause as NodeJS.ErrnoException).code
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
  return new StaveError(denied ? 'permission' : 'io', `cannot open the store ${root}`, {
    cause,
    hint: 'Choose another directory with --root.',
  })
}

/** The form in which a name is kept: a full reference, or the digest under which an image without a name is kept. */
export function normalizeName(name: string): string {
  return /^sha(256|512):/.test(name) ? parseDigest(name) : formatReference(parseReference(name))
}

/** As Docker looks images up: by name first, then by digest, then by the beginning of an image id. */
function resolveName(database: Database, files: BlobFiles, names: Names, text: string): Descriptor {
  const shortened = /^sha256:([0-9a-f]{4,63})$/.exec(text)?.[1]
  if (shortened !== undefined) {
    const found = onlyOne(text, imagesById(database, shortened))
    if (found !== undefined) return found
    throw unknown(names, text)
  }
  if (/^sha(256|512):/.test(text)) {
    const digest = parseDigest(text)
    const found = names.get(digest)?.descriptor ?? byDigest(database, files, digest)
    if (found !== undefined) return found
    throw unknown(names, text)
  }
  const byId = /^[0-9a-f]{4,64}$/.test(text) ? imagesById(database, text) : undefined
  let name: string | undefined
  try {
    name = normalizeName(text)
  } catch (error) {
    // An id of 64 digits is no valid repository name, and that is not the mistake.
    if (byId === undefined) throw error
  }
  for (const known of name === undefined ? [] : [name, ...otherNames(name)]) {
    const named = names.get(known)
    if (named !== undefined) return named.descriptor
  }
  const digest = text.includes('@') ? parseReference(text).digest : undefined
  const pinned = digest === undefined ? undefined : byDigest(database, files, digest)
  if (pinned !== undefined) return pinned
  const found = onlyOne(text, byId ?? new Map())
  if (found !== undefined) return found
  throw unknown(names, text)
}

/** Podman calls `localhost/web` what Docker calls `web`, if it is not from a registry: whoever means one gets the other. */
function otherNames(name: string): readonly string[] {
  const [local, docker] = ['localhost/', 'docker.io/library/']
  if (name.startsWith(local)) return [`${docker}${name.slice(local.length)}`, `docker.io/${name.slice(local.length)}`]
  return name.startsWith(docker) ? [`${local}${name.slice(docker.length)}`] : []
}

function onlyOne(text: string, found: ReadonlyMap<string, Descriptor>): Descriptor | undefined {
  if (found.size > 1) {
    const ids = [...found.keys()].map((id) => id.slice(0, 20)).join(', ')
    throw new StaveError('not-found', `cannot choose an image: several ids begin with ${text}`, {
      hint: `They are ${ids}: give more digits.`,
    })
  }
  const [only] = found.values()
  return only
}

/** A manifest by its digest, or an image by its full id: both are written `sha256:…`. */
function byDigest(database: Database, files: BlobFiles, digest: Digest): Descriptor | undefined {
  const row = database.get('SELECT descriptor FROM image WHERE manifest = ?1 OR id = ?2', digest, digestHex(digest))
  if (row !== undefined) return JSON.parse(String(row['descriptor'])) as Descriptor
  if (!files.touch(digest)) return undefined
  try {
    const raw = files.readSync(digest, limit.manifestBytes)
    const mediaType = sniffMediaType(raw)
    return isManifestOrIndex(mediaType) ? { mediaType, digest, size: raw.length } : undefined
  } catch (error) {
    // A layer or a config: content, but nothing that a name can stand for.
    if (error instanceof StaveError) return undefined
    throw error
  }
}

function unknown(names: Names, text: string): StaveError {
  const wanted = text.split(/[/:@]/).filter((part) => part.length > 2)
  const near = names.list().filter((record: NameRecord) => wanted.some((part) => record.name.includes(part)))
  const list = near
    .slice(0, 5)
    .map((record) => record.name)
    .join(', ')
  const lacking = list === '' ? `Pull it first: stave pull ${text}` : `There is ${list}.`
  return new StaveError('not-found', `cannot find the image ${text} in the store`, {
    hint: isImageId(text) ? 'stave images shows the ids of those that are there.' : lacking,
  })
}
