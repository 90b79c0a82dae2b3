import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Listed, Source } from '#image/content.ts'
import { findEntry, listEntries } from '#image/entries.ts'
import { verified, once } from '#image/read.ts'
import { findReferrers } from '#image/referrer.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestAlgorithm, digestHex, isDigest, type Digest } from '#oci/digest.ts'
import { decodeIndex, sniffMediaType } from '#oci/manifest.ts'
import type { TarEntry, TarFile } from './tar-file.ts'

/** An archive of images, open for reading. */
export interface Archive extends Source {
  list(cx: Context): Promise<readonly Listed[]>
}

/** Where a blob lies in every archive that has an OCI layout in it. */
export function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** The entries of the OCI layout in an archive; `undefined` if it has none. */
export async function readLayoutEntries(cx: Context, tar: TarFile): Promise<readonly Listed[] | undefined> {
  const entry = tar.find('index.json')
  if (entry === undefined) return undefined
  const raw = await tar.readAll(cx, entry, limit.manifestBytes)
  return listEntries(decodeIndex(raw, { title: `index.json of ${tar.title}` }).manifests)
}

/** Content that an archive has in other places than under `blobs/`, or that was made from what it has. */
export type Elsewhere = ReadonlyMap<Digest, TarEntry | Uint8Array>

export function archiveSource(tar: TarFile, title: string, entries: readonly Listed[], elsewhere: Elsewhere = new Map()): Archive {
  const find = (digest: Digest): TarEntry | Uint8Array | undefined => elsewhere.get(digest) ?? tar.find(blobName(digest))
  const read = async (cx: Context, digest: Digest): Promise<Uint8Array | undefined> => {
    const found = find(digest)
    if (found === undefined || found instanceof Uint8Array) return found
    return found.size > limit.manifestBytes ? undefined : tar.readAll(cx, found, limit.manifestBytes)
  }
  return {
    title,
    async list() {
      return entries
    },
    async resolve(cx, name) {
      const listed = entries.some((entry) => entry.descriptor.digest === name)
      const raw = isDigest(name) && !listed ? await read(cx, name) : undefined
      if (raw !== undefined && isDigest(name)) return { mediaType: sniffMediaType(raw), digest: name, size: raw.length }
      return findEntry(entries, name, title)
    },
    async open(cx, what, from = 0): Promise<Bytes> {
      const found = find(what.digest)
      if (found === undefined) throw new StaveError('blob-unknown', `cannot read ${what.digest}: it is not in ${title}`)
      const bytes = found instanceof Uint8Array ? once(found.subarray(from)) : tar.read(cx, found, from)
      return from > 0 ? bytes : verified(bytes, what, title)
    },
    async referrers(cx, subject) {
      return findReferrers(
        subject,
        entries.map((entry) => entry.descriptor),
        (what: Descriptor) => read(cx, what.digest),
      )
    },
    [Symbol.asyncDispose]: () => tar[Symbol.asyncDispose](),
  }
}
