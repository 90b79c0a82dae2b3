import type { IncomingHttpHeaders } from 'node:http'
import { StaveError } from '#error.ts'
import { referrerOf } from '#image/referrer.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestAlgorithm, digestOf, isDigest, type Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex, type ManifestOrIndex } from '#oci/manifest.ts'
import { isForeignLayer, isManifestOrIndex, mediaTypes, normalizeMediaType } from '#oci/media-type.ts'
import { isTag } from '#oci/reference.ts'
import { createGate, type Gate } from '../gate.ts'
import { type Answer, jsonAnswer, Refusal } from './answer.ts'
import type { Happening } from './happening.ts'
import { byBytes, type Storage } from './storage.ts'
import type { Usage } from './usage.ts'

/** The most tags that one request may set. @see distribution-spec, "Pushing Manifests", asks for at least 10 */
const tagsPerPut = 100
const pageSize = 1000

/** What is needed of a request for a manifest. */
export interface Asked {
  readonly repository: string
  /** A tag or a digest. */
  readonly name: string
  readonly headers: IncomingHttpHeaders
  readonly query: URLSearchParams
  readonly body: AsyncIterable<Uint8Array>
  readonly tell: (happening: Happening) => void
}

export interface ManifestOptions {
  /** Takes manifests whose blobs or children are not there. @see distribution-spec, "Pushing Manifests" */
  readonly isSparse?: boolean
  readonly usage?: Usage | undefined
}

/** Manifests, tags, referrers: what is small enough to be handled in memory. */
export interface Manifests {
  get(asked: Asked): Promise<Answer>
  put(asked: Asked): Promise<Answer>
  delete(asked: Asked): Promise<Answer>
  /** Keeps a manifest, whatever it mentions. @throws Refusal 400 for what is none */
  keep(repository: string, digest: Digest, mediaType: string, raw: Uint8Array): Promise<void>
  /** @param known Them, where another registry says */
  tags(repository: string, query: URLSearchParams, known?: readonly string[]): Promise<Answer>
  catalog(query: URLSearchParams): Promise<Answer>
  /** @param isListed The list is another registry's: it counts, whether the manifests are here or not */
  referrers(repository: string, subject: string, query: URLSearchParams, isListed?: boolean): Promise<Answer>
}

export function createManifests(storage: Storage, { isSparse = false, usage }: ManifestOptions = {}): Manifests {
  const desk: Desk = {
    storage,
    isSparse,
    usage,
    gate: createGate(limit.documentsAtOnce),
    bodies: createGate(limit.manifestBodiesAtOnce),
  }
  return {
    get: (asked) => getManifest(desk, asked),

    async put(asked) {
      // Who sends slowly holds up who sends, not who is answered.
      const leave = await desk.bodies.enter()
      try {
        const raw = await readBounded(asked.body)
        return await inTurn(desk, () => putManifest(desk, asked, raw))
      } finally {
        leave()
      }
    },

    async delete(asked) {
      await storage.inTurn(asked.repository, () => deleteManifest(desk, asked))
      return { status: 202 }
    },

    async keep(repository, digest, mediaType, raw) {
      await inTurn(desk, () => storage.inTurn(repository, () => keep(desk, repository, digest, decode(raw, mediaType), raw)))
    },

    async tags(repository, query, known) {
      const tags = known?.toSorted(byBytes) ?? (await storage.listTags(repository))
      if (tags === undefined) throw new Refusal(404, 'NAME_UNKNOWN', `no repository ${repository}`)
      const { page, headers } = paginate(tags, query, `/v2/${repository}/tags/list`)
      return jsonAnswer(200, { name: repository, tags: page }, headers)
    },

    async catalog(query) {
      const { page, headers } = paginate(await storage.listRepositories(), query, '/v2/_catalog')
      return jsonAnswer(200, { repositories: page }, headers)
    },

    referrers: (repository, subject, query, isListed = false) => listReferrers(desk, repository, subject, query, isListed),
  }
}

/** What handles the manifests of one storage. */
interface Desk {
  readonly storage: Storage
  readonly isSparse: boolean
  readonly usage: Usage | undefined
  /** Of those that are parsed. */
  readonly gate: Gate
  /** Of those that are received. */
  readonly bodies: Gate
}

/** A manifest of 4 MiB takes many times that when it is parsed, so few are handled at once. */
async function inTurn<T>({ gate }: Desk, work: () => Promise<T>): Promise<T> {
  const leave = await gate.enter()
  try {
    return await work()
  } finally {
    leave()
  }
}

async function getManifest(desk: Desk, { repository, name, headers, tell }: Asked): Promise<Answer> {
  const { storage } = desk
  const { digest, mediaType } = await find(desk, repository, name)
  const etag = `"${digest}"`
  const fields = { 'content-type': mediaType, 'docker-content-digest': digest, etag }
  if (headers['if-none-match'] === etag) return { status: 304, headers: fields }
  const length = await storage.contentSize(digest)
  if (length === undefined) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no manifest ${name} in ${repository}`)
  tell({ action: 'pull', kind: 'manifests', repository, digest, mediaType, size: length, tag: isDigest(name) ? undefined : name })
  return { status: 200, headers: fields, body: { file: storage.blobFile(digest), start: 0, length } }
}

async function find({ storage }: Desk, repository: string, name: string): Promise<{ digest: Digest; mediaType: string }> {
  const digest = isDigest(name) ? name : await readTag(storage, repository, name)
  const mediaType = digest === undefined ? undefined : await storage.manifestType(repository, digest)
  if (digest === undefined || mediaType === undefined) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no manifest ${name} in ${repository}`)
  return { digest, mediaType }
}

async function readTag(storage: Storage, repository: string, name: string): Promise<Digest | undefined> {
  if (!isTag(name)) {
    throw new Refusal(
      name.includes(':') ? 400 : 404,
      name.includes(':') ? 'DIGEST_INVALID' : 'MANIFEST_UNKNOWN',
      'neither a tag nor a digest',
    )
  }
  const text = await storage.readTag(repository, name)
  return text !== undefined && isDigest(text) ? text : undefined
}

async function putManifest(desk: Desk, { repository, name, headers, query, tell }: Asked, raw: Uint8Array): Promise<Answer> {
  const { storage } = desk
  const digest = digestOf(raw, isDigest(name) ? digestAlgorithm(name) : 'sha256')
  if (isDigest(name) && name !== digest) throw new Refusal(400, 'DIGEST_INVALID', `the content has the digest ${digest}`)
  const tags = isDigest(name) ? query.getAll('tag') : [name]
  if (tags.length > tagsPerPut) throw new Refusal(414, 'MANIFEST_INVALID', `more than ${tagsPerPut} tags at once`)
  const badTag = tags.find((tag) => !isTag(tag))
  if (badTag !== undefined) throw new Refusal(400, 'MANIFEST_INVALID', 'neither a tag nor a digest')
  const document = decode(raw, headers['content-type'] ?? '')
  const subject = await storage.inTurn(repository, async () => {
    await checkMentioned(desk, repository, document)
    const kept = await keep(desk, repository, digest, document, raw)
    for (const tag of tags) await storage.putTag(repository, tag, digest)
    return kept
  })
  const references = document.kind === 'manifest' ? [document.manifest.config, ...document.manifest.layers] : document.index.manifests
  const target = { digest, mediaType: document.mediaType, size: raw.length, references }
  for (const tag of tags.length > 0 ? tags : [undefined]) tell({ action: 'push', kind: 'manifests', repository, ...target, tag })
  return {
    status: 201,
    headers: {
      location: `/v2/${repository}/manifests/${digest}`,
      'docker-content-digest': digest,
      'oci-subject': subject,
      'oci-tag': isDigest(name) && tags.length > 0 ? tags : undefined,
    },
  }
}

// Whatever a manifest mentions must be there before it, or a client could see an image that it cannot pull. What is
// mentioned is renewed, so that garbage collection leaves it alone.
async function checkMentioned({ storage, isSparse }: Desk, repository: string, document: ManifestOrIndex): Promise<void> {
  const missing = new Set<Digest>()
  const checkBlob = async (blob: Descriptor) => {
    const isThere = (await storage.blobSize(repository, blob.digest)) === blob.size
    if (!isThere || !(await storage.renewBlob(repository, blob.digest))) missing.add(blob.digest)
  }
  if (document.kind === 'manifest') {
    const { config, layers } = document.manifest
    for (const blob of [config, ...layers]) if (!isForeignLayer(blob.mediaType) && (blob.urls ?? []).length === 0) await checkBlob(blob)
  } else {
    for (const child of document.index.manifests) {
      if (!isManifestOrIndex(child.mediaType)) await checkBlob(child)
      else if (!(await storage.renewManifest(repository, child.digest))) missing.add(child.digest)
    }
  }
  if (missing.size > 0 && !isSparse)
    throw new Refusal(400, 'MANIFEST_BLOB_UNKNOWN', `unknown or of another size: ${[...missing].join(', ')}`)
}

async function keep(
  { storage, usage }: Desk,
  repository: string,
  digest: Digest,
  document: ManifestOrIndex,
  raw: Uint8Array,
): Promise<Digest | undefined> {
  const { subject } = document.kind === 'manifest' ? document.manifest : document.index
  // The list of referrers first: an entry whose manifest never came is left out of it.
  if (subject !== undefined) {
    const referrer = referrerOf(subject.digest, { mediaType: document.mediaType, digest, size: raw.length }, raw)
    if (referrer !== undefined) await storage.addReferrer(repository, subject.digest, digest, referrer)
  }
  usage?.take(repository, raw.length)
  try {
    await storage.putManifest(repository, digest, document.mediaType, raw)
  } finally {
    usage?.give(repository, raw.length)
  }
  return subject?.digest
}

async function deleteManifest({ storage }: Desk, { repository, name, tell }: Asked): Promise<void> {
  const kind = 'manifests'
  if (!isDigest(name)) {
    if (!isTag(name)) throw new Refusal(400, 'DIGEST_INVALID', 'neither a tag nor a digest')
    if (!(await storage.deleteTag(repository, name))) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no tag ${name} in ${repository}`)
    return tell({ action: 'delete', kind, repository, tag: name })
  }
  const mediaType = await storage.manifestType(repository, name)
  if (mediaType === undefined) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no manifest ${name} in ${repository}`)
  const document = decode(await storage.readManifest(name), mediaType)
  const { subject } = document.kind === 'manifest' ? document.manifest : document.index
  for (const tag of (await storage.listTags(repository)) ?? [])
    if ((await storage.readTag(repository, tag)) === name) await storage.deleteTag(repository, tag)
  await storage.deleteManifest(repository, name)
  if (subject !== undefined) await storage.deleteReferrer(repository, subject.digest, name)
  tell({ action: 'delete', kind, repository, digest: name, mediaType })
}

async function listReferrers(desk: Desk, repository: string, subject: string, query: URLSearchParams, isListed: boolean): Promise<Answer> {
  if (!isDigest(subject)) throw new Refusal(400, 'DIGEST_INVALID', 'not a digest')
  const last = query.get('last')
  if (last !== null && !isDigest(last)) throw new Refusal(400, 'DIGEST_INVALID', 'last is not a digest')
  const artifactType = query.get('artifactType')
  const { entries, next } = await inTurn(desk, () =>
    referrersPage(desk.storage, { repository, subject, last: last ?? undefined, artifactType, isListed }),
  )
  const rest = new URLSearchParams({ ...(artifactType !== null && { artifactType }), last: next ?? '' })
  return {
    status: 200,
    headers: {
      'content-type': mediaTypes.ociIndex,
      'oci-filters-applied': artifactType === null ? undefined : 'artifactType',
      link: next === undefined ? undefined : `</v2/${repository}/referrers/${subject}?${rest.toString()}>; rel="next"`,
    },
    body: Buffer.from(`{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[${entries.join(',')}]}\n`),
  }
}

interface ReferrersQuery {
  readonly repository: string
  readonly subject: Digest
  readonly last: Digest | undefined
  readonly artifactType: string | null
  readonly isListed: boolean
}

// One descriptor at a time, up to a bound: annotations may be as large as manifests, and anyone who may push makes many.
async function referrersPage(
  storage: Storage,
  { repository, subject, last, artifactType, isListed }: ReferrersQuery,
): Promise<{ readonly entries: readonly string[]; readonly next: Digest | undefined }> {
  const entries: string[] = []
  let bytes = 0
  let read = last
  for (const referrer of await storage.listReferrers(repository, subject, last)) {
    // An entry whose manifest never came, or is gone, is none.
    if (isListed || (await storage.manifestType(repository, referrer)) !== undefined) {
      const text = await storage.readReferrer(repository, subject, referrer)
      if (text !== undefined && (artifactType === null || (JSON.parse(text) as Descriptor).artifactType === artifactType)) {
        if (entries.length > 0 && bytes + text.length > limit.referrersPageBytes) return { entries, next: read }
        entries.push(text)
        bytes += text.length
      }
    }
    read = referrer
  }
  return { entries, next: undefined }
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const late = AbortSignal.timeout(limit.manifestBodyMs)
  const tooLate = new Promise<never>((_, reject) => {
    late.addEventListener('abort', () =>
      reject(new Refusal(408, 'MANIFEST_INVALID', 'the manifest took too long', { connection: 'close' })),
    )
  })
  return Promise.race([read(), tooLate])

  async function read(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of body) {
      size += chunk.length
      if (size > limit.manifestBytes) throw new Refusal(413, 'SIZE_INVALID', `a manifest has at most ${limit.manifestBytes} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks, size)
  }
}

function decode(raw: Uint8Array, contentType: string): ManifestOrIndex {
  const mediaType = normalizeMediaType(contentType)
  if (mediaType !== '' && mediaType !== 'application/json' && !isManifestOrIndex(mediaType))
    throw new Refusal(400, 'MANIFEST_INVALID', `${JSON.stringify(mediaType)} is no media type of a manifest or index`)
  try {
    return decodeManifestOrIndex(raw, isManifestOrIndex(mediaType) ? { mediaType } : {})
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    throw new Refusal(400, 'MANIFEST_INVALID', error.message)
  }
}

function paginate(
  names: readonly string[],
  query: URLSearchParams,
  path: string,
): { page: readonly string[]; headers: Record<string, string> } {
  const asked = query.get('n')
  if (asked !== null && !/^\d{1,9}$/.test(asked)) throw new Refusal(400, 'UNSUPPORTED', 'n is not a number')
  const size = Math.min(asked === null ? pageSize : Number(asked), pageSize)
  const last = query.get('last')
  const rest = last === null ? names : names.filter((name) => name > last)
  const page = rest.slice(0, size)
  if (page.length === 0 || page.length === rest.length) return { page, headers: {} }
  const next = new URLSearchParams({ n: String(size), last: page.at(-1)! })
  return { page, headers: { link: `<${path}?${next.toString()}>; rel="next"` } }
}
