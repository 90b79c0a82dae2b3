import { randomUUID } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { mkdir, open, opendir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { makeDirectories } from '#directory.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { createTurns } from '../client/turns.ts'
import { optional, remove, sizeOf, touch } from './file.ts'
import { below, blobFile, type LinkKind, linkFile, type Places, referrerFile, referrersDirectory, tagFile, uploadFile } from './places.ts'

/**
 * The registry on disk.
 *
 * ```
 * blobs/sha256/<hex>                               content, once for all repositories
 * repositories/<name>/_blobs/sha256/<hex>          empty: this repository has the blob
 * repositories/<name>/_manifests/sha256/<hex>      media type: it has the manifest
 * repositories/<name>/_tags/<tag>                  digest
 * repositories/<name>/_referrers/sha256-<hex>/…    descriptor of a manifest that refers to this one
 * repositories/<name>/_uploads/<id>                what has come of an upload so far
 * ```
 *
 * No part of a repository's name begins with `_`. Files appear whole, by a rename, and what mentions others comes
 * after them, so a process that is killed leaves nothing visible that is broken. Names, tags and digests must have
 * been checked against their grammars before: they become paths.
 *
 * A link's time of change says when it was last asked for by somebody who may build on it. Garbage collection leaves
 * young ones alone, so whoever finds a blob there has time to push the manifest that mentions it.
 */
export interface Storage {
  blobFile(digest: Digest): string
  /** Runs `act` while nobody else changes what this repository has. It is not to be nested. */
  inTurn<T>(repository: string, act: () => Promise<T>): Promise<T>
  /** The size of content, whichever repository has it; undefined when none has. */
  contentSize(digest: Digest): Promise<number | undefined>
  /** The size of a blob of this repository; undefined when it has none such. */
  blobSize(repository: string, digest: Digest): Promise<number | undefined>
  /** Moves a complete and verified file into place, for this repository. */
  putBlob(repository: string, digest: Digest, file: string): Promise<void>
  /** Lets a repository have a blob of another one. False when that one does not have it. */
  mountBlob(repository: string, digest: Digest, from: string): Promise<boolean>
  /** A repository that has a blob, among those that are accepted. */
  findBlob(digest: Digest, accepts: (repository: string) => boolean): Promise<string | undefined>
  deleteBlob(repository: string, digest: Digest): Promise<boolean>
  /** Says that a blob was asked for just now; in the repository's turn. False when the repository does not have it. */
  renewBlob(repository: string, digest: Digest): Promise<boolean>
  renewManifest(repository: string, digest: Digest): Promise<boolean>

  /** The media type; undefined when there is no such manifest. */
  manifestType(repository: string, digest: Digest): Promise<string | undefined>
  readManifest(digest: Digest): Promise<Uint8Array>
  putManifest(repository: string, digest: Digest, mediaType: string, raw: Uint8Array): Promise<void>
  deleteManifest(repository: string, digest: Digest): Promise<boolean>

  readTag(repository: string, tag: string): Promise<string | undefined>
  putTag(repository: string, tag: string, digest: Digest): Promise<void>
  deleteTag(repository: string, tag: string): Promise<boolean>
  /** In the order of their bytes; undefined when there is no such repository. */
  listTags(repository: string): Promise<string[] | undefined>
  listRepositories(): Promise<string[]>
  /** Every repository that anything was ever written to, in no order. */
  walkRepositories(): AsyncGenerator<string>
  /** What a repository has, and when it was last asked for. */
  walkLinks(repository: string, kind: LinkKind): AsyncGenerator<Kept>
  /** When one of them was last asked for; undefined when it is not there. */
  linkUsed(repository: string, kind: LinkKind, digest: Digest): Promise<number | undefined>
  /** Takes one of them away from a repository, and leaves its content where it is. */
  unlink(repository: string, kind: LinkKind, digest: Digest): Promise<void>
  /** Content, whoever has it. */
  walkContent(): AsyncGenerator<Kept>
  /** Removes content that was not linked since `beforeMs`. Whoever asks knows that nothing linked it before. @returns its size, 0 if it stays */
  removeContent(digest: Digest, beforeMs: number): Promise<number>

  addReferrer(repository: string, subject: Digest, referrer: Digest, descriptor: object): Promise<void>
  deleteReferrer(repository: string, subject: Digest, referrer: Digest): Promise<void>
  /** The manifests that were said to refer to this one, after `last`, in the order of their digests. They may be gone by now. */
  listReferrers(repository: string, subject: Digest, last?: Digest): Promise<Digest[]>
  /** The descriptor of one of them, as JSON; undefined when it is not listed any more. */
  readReferrer(repository: string, subject: Digest, referrer: Digest): Promise<string | undefined>

  uploadFile(repository: string, id: string): string
  makeUpload(repository: string): Promise<string>
  walkUploads(repository: string): AsyncGenerator<{ readonly id: string; readonly size: number; readonly usedMs: number }>
  removeUpload(repository: string, id: string): Promise<void>
  /** Removes what a process that was killed left half written. */
  removeTemporary(beforeMs: number): Promise<void>
}

/** One thing that is kept: `usedMs` is when it was last asked for, `size` that of the file, which says nothing of a link. */
export interface Kept {
  readonly digest: Digest
  readonly size: number
  readonly usedMs: number
}

/** Told of all that is kept and removed. */
export interface Ledger {
  /** The content of all repositories together grew by so much, or shrank. */
  content(bytes: number): void
  /** What this repository has grew by so much, or shrank. */
  linked(repository: string, bytes: number): void
}

/** A link that was asked for so lately is not said to be so again: garbage collection leaves alone what is much older. */
const renewAfterMs = 60_000
const algorithms = ['sha256', 'sha512'] as const

export async function openStorage(directory: string, ledger?: Ledger): Promise<Storage> {
  const root = path.resolve(directory)
  const disk: Disk = {
    root,
    blobs: path.join(root, 'blobs'),
    repositories: path.join(root, 'repositories'),
    ledger,
    locked: createTurns(),
  }
  makeDirectories(disk.repositories)
  for (const algorithm of algorithms) await mkdir(path.join(disk.blobs, algorithm), { recursive: true })
  return {
    inTurn: createTurns(),
    ...blobsOn(disk),
    ...manifestsOn(disk),
    ...tagsOn(disk),
    ...linksOn(disk),
    ...referrersOn(disk),
    ...uploadsOn(disk),
  }
}

/** Where everything is, and who is told of it. */
interface Disk extends Places {
  readonly ledger: Ledger | undefined
  /** Lets one act on a digest at a time: between the check that nothing links a blob and its removal nothing may link it. */
  readonly locked: ReturnType<typeof createTurns>
}

type BlobStorage = Pick<
  Storage,
  | 'blobFile'
  | 'contentSize'
  | 'blobSize'
  | 'putBlob'
  | 'mountBlob'
  | 'findBlob'
  | 'deleteBlob'
  | 'renewBlob'
  | 'walkContent'
  | 'removeContent'
>

function blobsOn(disk: Disk): BlobStorage {
  const { ledger, locked } = disk
  const fileOf = (digest: Digest) => blobFile(disk, digest)
  const linkOf = (repository: string, digest: Digest) => linkFile(disk, repository, 'blobs', digest)
  return {
    blobFile: fileOf,
    contentSize: (digest) => sizeOf(fileOf(digest)),
    async blobSize(repository, digest) {
      const [linked, size] = await Promise.all([sizeOf(linkOf(repository, digest)), sizeOf(fileOf(digest))])
      return linked === undefined ? undefined : size
    },
    putBlob: (repository, digest, file) =>
      locked(digest, async () => {
        const [before, size] = await Promise.all([sizeOf(fileOf(digest)), sizeOf(file), touch(file)])
        await rename(file, fileOf(digest))
        if (await linkBlob(disk, repository, digest)) ledger?.linked(repository, size ?? 0)
        ledger?.content((size ?? 0) - (before ?? 0))
      }),
    mountBlob: (repository, digest, from) =>
      locked(digest, async () => {
        const size = await sizeOf(fileOf(digest))
        if (size === undefined || (await sizeOf(linkOf(from, digest))) === undefined || !(await touch(fileOf(digest)))) return false
        if (await linkBlob(disk, repository, digest)) ledger?.linked(repository, size)
        return true
      }),
    async findBlob(digest, accepts) {
      if ((await sizeOf(fileOf(digest))) === undefined) return undefined
      for await (const repository of walkNames(disk.repositories, ''))
        if (accepts(repository) && (await sizeOf(linkOf(repository, digest))) !== undefined) return repository
      return undefined
    },
    deleteBlob: (repository, digest) => locked(digest, () => removeLink(disk, repository, 'blobs', digest)),
    renewBlob: (repository, digest) => renew(linkOf(repository, digest)),
    walkContent: () => walkDigests(disk.blobs),
    removeContent: (digest, beforeMs) =>
      locked(digest, async () => {
        const found = await optional(stat(fileOf(digest)))
        if (found === undefined || found.mtimeMs >= beforeMs || !(await remove(fileOf(digest)))) return 0
        ledger?.content(-found.size)
        return found.size
      }),
  }
}

function manifestsOn(disk: Disk): Pick<Storage, 'renewManifest' | 'manifestType' | 'readManifest' | 'putManifest' | 'deleteManifest'> {
  const { ledger, locked } = disk
  const linkOf = (repository: string, digest: Digest) => linkFile(disk, repository, 'manifests', digest)
  return {
    renewManifest: (repository, digest) => renew(linkOf(repository, digest)),
    async manifestType(repository, digest) {
      return optional(readFile(linkOf(repository, digest), 'utf8'))
    },
    readManifest: (digest) => readFile(blobFile(disk, digest)),
    putManifest: (repository, digest, mediaType, raw) =>
      locked(digest, async () => {
        const [before, linked] = await Promise.all([sizeOf(blobFile(disk, digest)), sizeOf(linkOf(repository, digest))])
        await replace(disk, blobFile(disk, digest), raw)
        await replace(disk, linkOf(repository, digest), mediaType)
        ledger?.content(raw.length - (before ?? 0))
        if (linked === undefined) ledger?.linked(repository, raw.length)
      }),
    deleteManifest: (repository, digest) => locked(digest, () => removeLink(disk, repository, 'manifests', digest)),
  }
}

function tagsOn(disk: Disk): Pick<Storage, 'readTag' | 'putTag' | 'deleteTag' | 'listTags'> {
  return {
    async readTag(repository, tag) {
      return optional(readFile(tagFile(disk, repository, tag), 'utf8'))
    },
    putTag: (repository, tag, digest) => replace(disk, tagFile(disk, repository, tag), digest),
    deleteTag: (repository, tag) => remove(tagFile(disk, repository, tag)),
    async listTags(repository) {
      const tags = await optional(readdir(below(disk, repository, '_tags')))
      if (tags !== undefined) return tags.sort(byBytes)
      return (await optional(readdir(below(disk, repository, '_manifests')))) === undefined ? undefined : []
    },
  }
}

/** Repositories, and what they have. */
function linksOn(disk: Disk): Pick<Storage, 'listRepositories' | 'walkRepositories' | 'walkLinks' | 'linkUsed' | 'unlink'> {
  return {
    async listRepositories() {
      const names: string[] = []
      for await (const name of walkNames(disk.repositories, ''))
        if ((await optional(readdir(below(disk, name, '_manifests')))) !== undefined) names.push(name)
      return names.sort(byBytes)
    },
    walkRepositories: () => walkNames(disk.repositories, ''),
    walkLinks: (repository, kind) => walkDigests(below(disk, repository, `_${kind}`)),
    linkUsed: async (repository, kind, digest) => (await optional(stat(linkFile(disk, repository, kind, digest))))?.mtimeMs,
    unlink: (repository, kind, digest) =>
      disk.locked(digest, async () => {
        if (await remove(linkFile(disk, repository, kind, digest)))
          disk.ledger?.linked(repository, -((await sizeOf(blobFile(disk, digest))) ?? 0))
      }),
  }
}

function referrersOn(disk: Disk): Pick<Storage, 'addReferrer' | 'deleteReferrer' | 'listReferrers' | 'readReferrer'> {
  return {
    addReferrer: (repository, subject, referrer, descriptor) =>
      replace(disk, referrerFile(disk, repository, subject, referrer), JSON.stringify(descriptor)),
    async deleteReferrer(repository, subject, referrer) {
      await remove(referrerFile(disk, repository, subject, referrer))
    },
    async listReferrers(repository, subject, last) {
      const names = (await optional(readdir(referrersDirectory(disk, repository, subject)))) ?? []
      const digests = names.map((name) => name.replace('-', ':')).filter(isDigest)
      return digests.filter((digest) => last === undefined || digest > last).sort(byBytes)
    },
    async readReferrer(repository, subject, referrer) {
      return optional(readFile(referrerFile(disk, repository, subject, referrer), 'utf8'))
    },
  }
}

/** What is not whole yet. */
function uploadsOn(disk: Disk): Pick<Storage, 'uploadFile' | 'makeUpload' | 'walkUploads' | 'removeUpload' | 'removeTemporary'> {
  const { root } = disk
  return {
    uploadFile: (repository, id) => uploadFile(disk, repository, id),
    async makeUpload(repository) {
      const id = randomUUID()
      const file = uploadFile(disk, repository, id)
      await mkdir(path.dirname(file), { recursive: true })
      await (await open(file, 'wx')).close()
      return id
    },
    async *walkUploads(repository) {
      for (const id of (await optional(readdir(below(disk, repository, '_uploads')))) ?? []) {
        const found = await optional(stat(uploadFile(disk, repository, id)))
        if (found !== undefined) yield { id, size: found.size, usedMs: found.mtimeMs }
      }
    },
    async removeUpload(repository, id) {
      await remove(uploadFile(disk, repository, id))
    },
    async removeTemporary(beforeMs) {
      for (const name of (await readdir(root)).filter((entry) => entry.endsWith('.tmp'))) {
        const found = await optional(stat(path.join(root, name)))
        if (found !== undefined && found.mtimeMs < beforeMs) await remove(path.join(root, name))
      }
    },
  }
}

/** @returns whether it is new */
async function linkBlob(disk: Disk, repository: string, digest: Digest): Promise<boolean> {
  const file = linkFile(disk, repository, 'blobs', digest)
  await mkdir(path.dirname(file), { recursive: true })
  try {
    await writeFile(file, '', { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    await touch(file)
    return false
  }
}

/** Takes a link away, and the content that nothing links any more; in the digest's turn. */
async function removeLink(disk: Disk, repository: string, kind: LinkKind, digest: Digest): Promise<boolean> {
  const size = await sizeOf(blobFile(disk, digest))
  if (!(await remove(linkFile(disk, repository, kind, digest)))) return false
  disk.ledger?.linked(repository, -(size ?? 0))
  if (!(await isLinkedAnywhere(disk, digest)) && (await remove(blobFile(disk, digest)))) disk.ledger?.content(-(size ?? 0))
  return true
}

async function isLinkedAnywhere(disk: Disk, digest: Digest): Promise<boolean> {
  for await (const repository of walkNames(disk.repositories, '')) {
    if ((await sizeOf(linkFile(disk, repository, 'blobs', digest))) !== undefined) return true
    if ((await sizeOf(linkFile(disk, repository, 'manifests', digest))) !== undefined) return true
  }
  return false
}

async function renew(file: string): Promise<boolean> {
  const found = await optional(stat(file))
  return found !== undefined && (Date.now() - found.mtimeMs < renewAfterMs || touch(file))
}

async function replace({ root }: Disk, file: string, content: string | Uint8Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true })
  // In the blobs' directory: a temporary file beside a tag would look like one.
  const temporary = path.join(root, `.${randomUUID()}.tmp`)
  await writeFile(temporary, content)
  await rename(temporary, file)
}

/** The names of the repositories below a directory, which has a name itself. */
async function* walkNames(at: string, name: string): AsyncGenerator<string> {
  const entries: Dirent[] = (await optional(readdir(at, { withFileTypes: true }))) ?? []
  if (name !== '' && entries.some((entry) => entry.name.startsWith('_'))) yield name
  for (const entry of entries) {
    if (entry.isDirectory() && !entry.name.startsWith('_'))
      yield* walkNames(path.join(at, entry.name), name === '' ? entry.name : `${name}/${entry.name}`)
  }
}

/** Files that have a digest as their name, below a directory for each algorithm. */
async function* walkDigests(at: string): AsyncGenerator<Kept> {
  for (const algorithm of algorithms) {
    const directory = await optional(opendir(path.join(at, algorithm)))
    if (directory === undefined) continue
    for await (const { name } of directory) {
      const digest = `${algorithm}:${name}`
      const found = isDigest(digest) ? await optional(stat(path.join(at, algorithm, name))) : undefined
      if (found !== undefined) yield { digest: digest as Digest, size: found.size, usedMs: found.mtimeMs }
    }
  }
}

/** The order of tags and repositories in lists. @see distribution-spec, "Listing Tags" */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
