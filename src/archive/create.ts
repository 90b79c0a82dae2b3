import type { Writable } from 'node:stream'
import { finished as ended } from 'node:stream/promises'
import { background, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Listed, Target } from '#image/content.ts'
import { findEntry, listEntries, withName } from '#image/entries.ts'
import { destination, fileError, withFileErrors } from '#image/file.ts'
import { encode } from '#image/json.ts'
import { verified, once } from '#image/read.ts'
import { findReferrers, referrerOf } from '#image/referrer.ts'
import * as limit from '#limit.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import { isManifestOrIndex, mediaTypes } from '#oci/media-type.ts'
import { dockerDocuments, type NamedRoot } from './docker-documents.ts'
import { createFileSink, createStreamSink, type TarSink } from './sink.ts'
import { blobName } from './source.ts'

/** An archive of images that is being written. */
export interface ArchiveTarget extends Target {
  list(cx: Context): Promise<readonly Listed[]>
  finish(cx: Context): Promise<void>
}

export interface CreateOptions {
  readonly title?: string
}

export interface CreateDockerOptions extends CreateOptions {
  /** Of an index, the image that Docker's manifest.json names; the OCI layout beside it has them all. Default: this machine's. */
  readonly platform?: Platform
}

/**
 * Starts a tar file of an OCI layout, at a path or on a stream. At a path it appears when it is whole, replacing what
 * was there. Any number of images, each under any number of names.
 */
export async function createOciArchive(output: string | NodeJS.WritableStream, options: CreateOptions = {}): Promise<ArchiveTarget> {
  const title = options.title ?? `oci-archive:${typeof output === 'string' ? output : '-'}`
  return archiveInto(title, await createSink(output, title), () => [])
}

/**
 * Starts what `docker load`, `podman load`, `skopeo` and containerd read: an OCI layout with Docker's manifest.json and
 * repositories beside it, as Docker itself writes since version 25. Layers stay compressed as they are, so digests stay.
 */
export async function createDockerArchive(
  output: string | NodeJS.WritableStream,
  options: CreateDockerOptions = {},
): Promise<ArchiveTarget> {
  const title = options.title ?? `docker-archive:${typeof output === 'string' ? output : '-'}`
  return archiveInto(title, await createSink(output, title), (roots, documents) =>
    dockerDocuments(roots, documents, options.platform, title),
  )
}

async function createSink(output: string | NodeJS.WritableStream, title: string): Promise<TarSink> {
  if (typeof output !== 'string') return createStreamSink(output, title)
  const place = await withFileErrors(`write ${title}`, () => destination(output))
  return typeof place === 'string' ? createFileSink(place) : closing(createStreamSink(place, title), place, title)
}

/** A sink whose stream is its own, and ends with it. */
function closing(sink: TarSink, stream: Writable, title: string): TarSink {
  return {
    ...sink,
    async finish(cx) {
      await sink.finish(cx)
      stream.end()
      await withFileErrors(`write ${title}`, () => ended(stream))
    },
    async discard() {
      await sink.discard()
      stream.destroy()
    },
  }
}

type MoreDocuments = (
  roots: readonly NamedRoot[],
  documents: ReadonlyMap<Digest, Uint8Array>,
) => readonly (readonly [name: string, value: unknown])[]

/** What an archive holds by now. */
interface Contents {
  /** What is whole, with its size. */
  readonly written: Map<Digest, number>
  readonly writing: Map<Digest, Promise<void>>
  readonly unfinished: Set<Digest>
  /** Manifests and indexes, which are needed again at the end. */
  readonly documents: Map<Digest, Uint8Array>
  readonly mediaTypesOf: Map<Digest, string>
  readonly named: Map<string, NamedRoot>
  readonly referrers: Descriptor[]
  /** What is mentioned by an index, or refers to something: no root of its own. */
  readonly mentioned: Set<Digest>
}

interface Writing extends Contents {
  readonly title: string
  readonly sink: TarSink
  readonly moreDocuments: MoreDocuments
  state: 'open' | 'named' | 'closed'
}

/** An object of functions, none of which needs `this`: who wants another title or one method changed spreads it. */
function archiveInto(title: string, sink: TarSink, moreDocuments: MoreDocuments): ArchiveTarget {
  const archive: Writing = {
    title,
    sink,
    moreDocuments,
    state: 'open',
    written: new Map(),
    writing: new Map(),
    unfinished: new Set(),
    documents: new Map(),
    mediaTypesOf: new Map(),
    named: new Map(),
    referrers: [],
    mentioned: new Set(),
  }
  return {
    title,
    list: async () => listEntries(entries(archive)),
    resolve: async (_cx, name) => findEntry(listEntries(entries(archive)), name, title),
    open: async (cx, what, from = 0) => readBack(cx, archive, what, from),
    has: async (_cx, what) => archive.written.get(what.digest) === what.size,
    write: (cx, what, bytes) => writeOnce(cx, archive, what, bytes),
    name: async (_cx, root, name) => nameRoot(archive, root, name),
    referrers: async (_cx, subject) => findReferrers(subject, entries(archive), async (what) => archive.documents.get(what.digest)),
    finish: (cx) => finish(cx, archive),
    async [Symbol.asyncDispose]() {
      if (archive.state === 'closed') return
      if (archive.state === 'named' && archive.unfinished.size === 0) {
        await finish(background, archive)
        return
      }
      archive.state = 'closed'
      await sink.discard()
    },
  }
}

async function readBack(cx: Context, { title, sink, documents }: Writing, what: Descriptor, from: number): Promise<Bytes> {
  const document = documents.get(what.digest)
  const bytes = document === undefined ? sink.read(cx, blobName(what.digest), from) : once(document.subarray(from))
  if (bytes === undefined)
    throw new StaveError('blob-unknown', `cannot read ${what.digest}: it is not in ${title}, or went to a stream that cannot be read again`)
  return from > 0 ? bytes : verified(bytes, what, title)
}

/** Two who write the same at the same time write it once. */
async function writeOnce(cx: Context, archive: Writing, what: Descriptor, bytes: Bytes): Promise<void> {
  const { written, writing } = archive
  if (archive.state === 'closed') throw finished(what, archive.title)
  if (written.get(what.digest) === what.size) return
  const running = writing.get(what.digest)
  if (running !== undefined) {
    await running
    return
  }
  const started = write(cx, archive, what, bytes).finally(() => writing.delete(what.digest))
  writing.set(what.digest, started)
  await started
}

async function write(cx: Context, archive: Writing, what: Descriptor, bytes: Bytes): Promise<void> {
  const { title, sink, written, unfinished } = archive
  archive.state = 'open'
  unfinished.add(what.digest)
  const checked = verified(bytes, what, 'its source')
  try {
    if (isManifestOrIndex(what.mediaType)) {
      if (what.size > limit.manifestBytes)
        throw new StaveError('too-large', `cannot write ${what.digest}: a manifest of ${what.size} bytes`)
      const raw = Buffer.concat(await Array.fromAsync(checked))
      await sink.write(cx, blobName(what.digest), what.size, once(raw))
      noteDocument(archive, what, raw)
    } else await sink.write(cx, blobName(what.digest), what.size, checked)
  } catch (error) {
    throw fileError(error, `write ${what.digest} to ${title}`)
  }
  written.set(what.digest, what.size)
  unfinished.delete(what.digest)
}

function noteDocument({ documents, mediaTypesOf, mentioned, referrers }: Contents, what: Descriptor, raw: Uint8Array): void {
  documents.set(what.digest, raw)
  mediaTypesOf.set(what.digest, what.mediaType)
  const document = decodeManifestOrIndex(raw, { mediaType: what.mediaType, title: what.digest })
  if (document.kind === 'index') for (const child of document.index.manifests) mentioned.add(child.digest)
  const subject = document.kind === 'manifest' ? document.manifest.subject : document.index.subject
  const referrer = subject === undefined ? undefined : referrerOf(subject.digest, what, raw)
  if (referrer === undefined) return
  // In a layout, what refers to something else is found only among the entries.
  referrers.push(referrer)
  mentioned.add(what.digest)
}

/** What has a name, and what nothing mentions. */
function rootsOf({ named, documents, mentioned, mediaTypesOf }: Contents): readonly NamedRoot[] {
  const known = new Set<Digest>([...named.values()].map((root) => root.descriptor.digest))
  const nameless = [...documents].flatMap(([digest, raw]) =>
    known.has(digest) || mentioned.has(digest)
      ? []
      : [{ descriptor: { mediaType: mediaTypesOf.get(digest)!, digest, size: raw.length }, name: '' }],
  )
  return [...named.values(), ...nameless]
}

function entries(contents: Contents): readonly Descriptor[] {
  const rootEntries = rootsOf(contents).map((root) => withName(root.descriptor, root.name))
  const digests = new Set<Digest>(rootEntries.map((entry) => entry.digest))
  return [...rootEntries, ...contents.referrers.filter((entry) => !digests.has(entry.digest))]
}

function nameRoot(archive: Writing, root: Descriptor, name: string): void {
  const { title, documents, named, moreDocuments } = archive
  if (archive.state === 'closed') throw finished(root, title)
  if (!documents.has(root.digest)) throw new StaveError('blob-unknown', `cannot name ${root.digest}: it is no manifest in ${title}`)
  const key = name === '' ? root.digest : name
  const before = named.get(key)
  named.set(key, { descriptor: root, name })
  try {
    // What the documents at the end cannot say is an error of this name, not of the whole archive later.
    moreDocuments([...named.values()], documents)
  } catch (error) {
    if (before === undefined) named.delete(key)
    else named.set(key, before)
    throw error
  }
  archive.state = 'named'
}

async function finish(cx: Context, archive: Writing): Promise<void> {
  const { title, sink, unfinished, moreDocuments, documents } = archive
  if (archive.state === 'closed') return
  if (unfinished.size > 0) throw new StaveError('io', `cannot finish ${title}: ${[...unfinished].join(', ')} was not written to its end`)
  const last: readonly (readonly [string, unknown])[] = [
    ...moreDocuments(rootsOf(archive), documents),
    ['index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries(archive) }],
    ['oci-layout', { imageLayoutVersion: '1.0.0' }],
  ]
  archive.state = 'closed'
  try {
    for (const [name, value] of last) {
      const bytes = encode(value)
      await sink.write(cx, name, bytes.length, once(bytes))
    }
    await sink.finish(cx)
  } catch (error) {
    await sink.discard()
    throw fileError(error, `finish ${title}`)
  }
}

function finished(what: Descriptor, title: string): StaveError {
  return new StaveError('io', `cannot add ${what.digest} to ${title}: it is finished`)
}
