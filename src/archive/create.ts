import type { Writable } from 'node:stream'
import { finished as ended } from 'node:stream/promises'
import { background, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Listed, Target } from '#image/content.ts'
import { findEntry, listEntries, withName } from '#image/entries.ts'
import { destination, fileError, withFileErrors } from '#image/file.ts'
import { encode } from '#image/json.ts'
import { verified } from '#image/read.ts'
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

/** An object of functions, none of which needs `this`: who wants another title or one method changed spreads it. */
function archiveInto(title: string, sink: TarSink, moreDocuments: MoreDocuments): ArchiveTarget {
  /** What is whole, with its size. */
  const written = new Map<Digest, number>()
  const writing = new Map<Digest, Promise<void>>()
  const unfinished = new Set<Digest>()
  /** Manifests and indexes, which are needed again at the end. */
  const documents = new Map<Digest, Uint8Array>()
  const mediaTypesOf = new Map<Digest, string>()
  const named = new Map<string, NamedRoot>()
  const referrers: Descriptor[] = []
  /** What is mentioned by an index, or refers to something: no root of its own. */
  const mentioned = new Set<Digest>()
  let state: 'open' | 'named' | 'closed' = 'open'

  const note = (what: Descriptor, raw: Uint8Array): void => {
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

  const write = async (cx: Context, what: Descriptor, bytes: Bytes): Promise<void> => {
    state = 'open'
    unfinished.add(what.digest)
    const checked = verified(bytes, what, 'its source')
    try {
      if (isManifestOrIndex(what.mediaType)) {
        if (what.size > limit.manifestBytes)
          throw new StaveError('too-large', `cannot write ${what.digest}: a manifest of ${what.size} bytes`)
        const raw = Buffer.concat(await Array.fromAsync(checked))
        await sink.write(cx, blobName(what.digest), what.size, once(raw))
        note(what, raw)
      } else await sink.write(cx, blobName(what.digest), what.size, checked)
    } catch (error) {
      throw fileError(error, `write ${what.digest} to ${title}`)
    }
    written.set(what.digest, what.size)
    unfinished.delete(what.digest)
  }

  const roots = (): readonly NamedRoot[] => {
    const known = new Set<Digest>([...named.values()].map((root) => root.descriptor.digest))
    const nameless = [...documents].flatMap(([digest, raw]) =>
      known.has(digest) || mentioned.has(digest)
        ? []
        : [{ descriptor: { mediaType: mediaTypesOf.get(digest)!, digest, size: raw.length }, name: '' }],
    )
    return [...named.values(), ...nameless]
  }

  const entries = (): readonly Descriptor[] => {
    const rootEntries = roots().map((root) => withName(root.descriptor, root.name))
    const digests = new Set<Digest>(rootEntries.map((entry) => entry.digest))
    return [...rootEntries, ...referrers.filter((entry) => !digests.has(entry.digest))]
  }

  const archive: ArchiveTarget = {
    title,
    async list() {
      return listEntries(entries())
    },
    async resolve(_cx, name) {
      return findEntry(listEntries(entries()), name, title)
    },
    async open(cx, what, from = 0) {
      const document = documents.get(what.digest)
      const bytes = document === undefined ? sink.read(cx, blobName(what.digest), from) : once(document.subarray(from))
      if (bytes === undefined) {
        throw new StaveError(
          'blob-unknown',
          `cannot read ${what.digest}: it is not in ${title}, or went to a stream that cannot be read again`,
        )
      }
      return from > 0 ? bytes : verified(bytes, what, title)
    },
    has: async (_cx, what) => written.get(what.digest) === what.size,
    async write(cx, what, bytes) {
      if (state === 'closed') throw finished(what, title)
      if (written.get(what.digest) === what.size) return
      const running = writing.get(what.digest)
      if (running !== undefined) {
        await running
        return
      }
      const started = write(cx, what, bytes).finally(() => writing.delete(what.digest))
      writing.set(what.digest, started)
      await started
    },
    async name(_cx, root, name) {
      if (state === 'closed') throw finished(root, title)
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
      state = 'named'
    },
    async referrers(_cx, subject) {
      return findReferrers(subject, entries(), async (what) => documents.get(what.digest))
    },
    async finish(cx) {
      if (state === 'closed') return
      if (unfinished.size > 0)
        throw new StaveError('io', `cannot finish ${title}: ${[...unfinished].join(', ')} was not written to its end`)
      const last: readonly (readonly [string, unknown])[] = [
        ...moreDocuments(roots(), documents),
        ['index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries() }],
        ['oci-layout', { imageLayoutVersion: '1.0.0' }],
      ]
      state = 'closed'
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
    },
    async [Symbol.asyncDispose]() {
      if (state === 'closed') return
      if (state === 'named' && unfinished.size === 0) {
        await archive.finish(background)
        return
      }
      state = 'closed'
      await sink.discard()
    },
  }
  return archive
}

function finished(what: Descriptor, title: string): StaveError {
  return new StaveError('io', `cannot add ${what.digest} to ${title}: it is finished`)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes
}
