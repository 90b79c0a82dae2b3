import { randomUUID } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { makeDirectories } from '#directory.ts'
import { digestAlgorithm, digestHex, isDigest, type Digest } from '#oci/digest.ts'

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
 */
export interface Storage {
  blobFile(digest: Digest): string
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

  addReferrer(repository: string, subject: Digest, referrer: Digest, descriptor: object): Promise<void>
  deleteReferrer(repository: string, subject: Digest, referrer: Digest): Promise<void>
  /** The manifests that were said to refer to this one, after `last`, in the order of their digests. They may be gone by now. */
  listReferrers(repository: string, subject: Digest, last?: Digest): Promise<Digest[]>
  /** The descriptor of one of them, as JSON; undefined when it is not listed any more. */
  readReferrer(repository: string, subject: Digest, referrer: Digest): Promise<string | undefined>

  uploadFile(repository: string, id: string): string
  makeUpload(repository: string): Promise<string>
  /** Removes uploads that nothing was added to for so long. */
  removeStaleUploads(olderThanMs: number): Promise<void>
}

export async function openStorage(directory: string): Promise<Storage> {
  const root = path.resolve(directory)
  const blobs = path.join(root, 'blobs')
  const repositories = path.join(root, 'repositories')
  makeDirectories(repositories)
  for (const algorithm of ['sha256', 'sha512']) await mkdir(path.join(blobs, algorithm), { recursive: true })
  const locked = createLocks()

  const below = (repository: string, ...parts: string[]) => path.join(repositories, ...repository.split('/'), ...parts)
  const byDigest = (digest: Digest) => [digestAlgorithm(digest), digestHex(digest)] as const
  const flat = (digest: Digest) => digest.replace(':', '-')
  const blobFile = (digest: Digest) => path.join(blobs, ...byDigest(digest))
  const blobLink = (repository: string, digest: Digest) => below(repository, '_blobs', ...byDigest(digest))
  const manifestLink = (repository: string, digest: Digest) => below(repository, '_manifests', ...byDigest(digest))
  const tagFile = (repository: string, tag: string) => below(repository, '_tags', tag)

  async function sizeOf(file: string): Promise<number | undefined> {
    return (await optional(stat(file)))?.size
  }

  async function link(file: string): Promise<void> {
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, '')
  }

  async function replace(file: string, content: string | Uint8Array): Promise<void> {
    await mkdir(path.dirname(file), { recursive: true })
    // In the blobs' directory: a temporary file beside a tag would look like one.
    const temporary = path.join(root, `.${randomUUID()}.tmp`)
    await writeFile(temporary, content)
    await rename(temporary, file)
  }

  async function* walk(at: string, name: string): AsyncGenerator<string> {
    const entries: Dirent[] = (await optional(readdir(at, { withFileTypes: true }))) ?? []
    if (name !== '' && entries.some((entry) => entry.name.startsWith('_'))) yield name
    for (const entry of entries) {
      if (entry.isDirectory() && !entry.name.startsWith('_'))
        yield* walk(path.join(at, entry.name), name === '' ? entry.name : `${name}/${entry.name}`)
    }
  }

  async function isLinkedAnywhere(digest: Digest): Promise<boolean> {
    for await (const repository of walk(repositories, '')) {
      if ((await sizeOf(blobLink(repository, digest))) !== undefined) return true
      if ((await sizeOf(manifestLink(repository, digest))) !== undefined) return true
    }
    return false
  }

  const removeUnlinked = async (digest: Digest) => {
    if (!(await isLinkedAnywhere(digest))) await remove(blobFile(digest))
  }

  return {
    blobFile,
    contentSize: (digest) => sizeOf(blobFile(digest)),
    async blobSize(repository, digest) {
      const [linked, size] = await Promise.all([sizeOf(blobLink(repository, digest)), sizeOf(blobFile(digest))])
      return linked === undefined ? undefined : size
    },
    putBlob: (repository, digest, file) =>
      locked(digest, async () => {
        await rename(file, blobFile(digest))
        await link(blobLink(repository, digest))
      }),
    mountBlob: (repository, digest, from) =>
      locked(digest, async () => {
        if ((await sizeOf(blobLink(from, digest))) === undefined || (await sizeOf(blobFile(digest))) === undefined) return false
        await link(blobLink(repository, digest))
        return true
      }),
    async findBlob(digest, accepts) {
      if ((await sizeOf(blobFile(digest))) === undefined) return undefined
      for await (const repository of walk(repositories, '')) {
        if (accepts(repository) && (await sizeOf(blobLink(repository, digest))) !== undefined) return repository
      }
      return undefined
    },
    deleteBlob: (repository, digest) =>
      locked(digest, async () => {
        if (!(await remove(blobLink(repository, digest)))) return false
        await removeUnlinked(digest)
        return true
      }),

    async manifestType(repository, digest) {
      return optional(readFile(manifestLink(repository, digest), 'utf8'))
    },
    readManifest: (digest) => readFile(blobFile(digest)),
    putManifest: (repository, digest, mediaType, raw) =>
      locked(digest, async () => {
        await replace(blobFile(digest), raw)
        await replace(manifestLink(repository, digest), mediaType)
      }),
    deleteManifest: (repository, digest) =>
      locked(digest, async () => {
        if (!(await remove(manifestLink(repository, digest)))) return false
        await removeUnlinked(digest)
        return true
      }),

    async readTag(repository, tag) {
      return optional(readFile(tagFile(repository, tag), 'utf8'))
    },
    putTag: (repository, tag, digest) => replace(tagFile(repository, tag), digest),
    deleteTag: (repository, tag) => remove(tagFile(repository, tag)),
    async listTags(repository) {
      const tags = await optional(readdir(below(repository, '_tags')))
      if (tags !== undefined) return tags.sort(byBytes)
      return (await optional(readdir(below(repository, '_manifests')))) === undefined ? undefined : []
    },
    async listRepositories() {
      const names: string[] = []
      for await (const name of walk(repositories, '')) {
        if ((await optional(readdir(below(name, '_manifests')))) !== undefined) names.push(name)
      }
      return names.sort(byBytes)
    },

    addReferrer: (repository, subject, referrer, descriptor) =>
      replace(below(repository, '_referrers', flat(subject), flat(referrer)), JSON.stringify(descriptor)),
    async deleteReferrer(repository, subject, referrer) {
      await remove(below(repository, '_referrers', flat(subject), flat(referrer)))
    },
    async listReferrers(repository, subject, last) {
      const names = (await optional(readdir(below(repository, '_referrers', flat(subject))))) ?? []
      const digests = names.map((name) => name.replace('-', ':')).filter(isDigest)
      return digests.filter((digest) => last === undefined || digest > last).sort(byBytes)
    },
    async readReferrer(repository, subject, referrer) {
      return optional(readFile(below(repository, '_referrers', flat(subject), flat(referrer)), 'utf8'))
    },

    uploadFile: (repository, id) => below(repository, '_uploads', id),
    async makeUpload(repository) {
      const id = randomUUID()
      const file = below(repository, '_uploads', id)
      await mkdir(path.dirname(file), { recursive: true })
      await (await open(file, 'wx')).close()
      return id
    },
    async removeStaleUploads(olderThanMs) {
      const limit = Date.now() - olderThanMs
      const isStale = async (file: string) => ((await optional(stat(file)))?.mtimeMs ?? Infinity) < limit
      for (const name of (await readdir(root)).filter((entry) => entry.endsWith('.tmp'))) {
        if (await isStale(path.join(root, name))) await rm(path.join(root, name), { force: true })
      }
      for await (const repository of walk(repositories, '')) {
        const uploads = below(repository, '_uploads')
        for (const id of (await optional(readdir(uploads))) ?? []) {
          if (await isStale(path.join(uploads, id))) await rm(path.join(uploads, id), { force: true })
        }
      }
    },
  }
}

async function remove(file: string): Promise<boolean> {
  return (await optional(unlink(file).then(() => true))) ?? false
}

/** Undefined for what does not exist, and for a name that is too long to exist. */
async function optional<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Lets one act on a digest at a time: between the check that nothing links a blob and its removal nothing may link it. */
function createLocks() {
  const last = new Map<string, Promise<unknown>>()
  return async <T>(key: string, act: () => Promise<T>): Promise<T> => {
    const turn = (last.get(key) ?? Promise.resolve()).catch(() => {}).then(act)
    last.set(key, turn)
    try {
      return await turn
    } finally {
      if (last.get(key) === turn) last.delete(key)
    }
  }
}
