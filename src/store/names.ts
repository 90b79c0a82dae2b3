import { hasCode } from '#error.ts'
import * as limit from '#limit.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestHex, type Digest } from '#oci/digest.ts'
import { isConfig, isManifestOrIndex } from '#oci/media-type.ts'
import type { BlobFiles } from './blobs.ts'
import type { Database } from './database.ts'
import type { NameRecord, Names } from './store.ts'

export function createNames(database: Database, blobs: BlobFiles): Names {
  return {
    get(name) {
      const row = database.get('SELECT name, descriptor, created FROM name WHERE name = ?', name)
      return row === undefined ? undefined : record(row)
    },
    set(name, descriptor) {
      const now = Date.now()
      database.transaction(() => {
        indexDocument(database, blobs, descriptor)
        database.run(
          `INSERT INTO name (name, digest, descriptor, created, used) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, descriptor = excluded.descriptor, created = excluded.created, used = excluded.used`,
          name,
          descriptor.digest,
          JSON.stringify(descriptor),
          now,
          now,
        )
      })
    },
    delete: (name) => database.run('DELETE FROM name WHERE name = ?', name) > 0,
    list: () => database.all('SELECT name, descriptor, created FROM name ORDER BY created DESC, name').map(record),
  }
}

function record(row: Record<string, string | number | null>): NameRecord {
  return {
    name: String(row['name']),
    descriptor: JSON.parse(String(row['descriptor'])) as Descriptor,
    createdAt: new Date(Number(row['created'])),
  }
}

/**
 * Notes what can be found by something else than its name: an image by its id, which is the digest of its config
 * (Docker's rule), and a referrer by its subject. What an index mentions but the store does not have is left out.
 */
export function indexDocument(database: Database, blobs: BlobFiles, descriptor: Descriptor, depth = 0): void {
  if (depth > limit.indexDepth || !isManifestOrIndex(descriptor.mediaType)) return
  let document
  try {
    const raw = blobs.readSync(descriptor.digest, limit.manifestBytes)
    document = decodeManifestOrIndex(raw, { mediaType: descriptor.mediaType, title: descriptor.digest })
  } catch (error) {
    // Not there (one platform of an index), or nothing that this release understands: then it is found by its digest alone.
    if (hasCode(error, 'blob-unknown', 'invalid-document', 'unsupported', 'too-large')) return
    throw error
  }
  const own = { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size }
  const subject = (document.kind === 'index' ? document.index : document.manifest).subject
  if (subject !== undefined) {
    const body = document.kind === 'index' ? document.index : document.manifest
    // distribution-spec, "Listing Referrers": the type of an artifact without artifactType is that of its config.
    const artifactType = body.artifactType ?? (document.kind === 'manifest' ? document.manifest.config.mediaType : undefined)
    const entry = { ...own, ...(artifactType && { artifactType }), ...(body.annotations && { annotations: body.annotations }) }
    database.run(
      'INSERT OR REPLACE INTO referrer (subject, digest, descriptor) VALUES (?, ?, ?)',
      subject.digest,
      own.digest,
      JSON.stringify(entry),
    )
  }
  if (document.kind === 'index') for (const child of document.index.manifests) indexDocument(database, blobs, child, depth + 1)
  else if (isConfig(document.manifest.config.mediaType)) {
    const id = digestHex(document.manifest.config.digest)
    const platform = descriptor.platform === undefined ? own : { ...own, platform: descriptor.platform }
    database.run('INSERT OR REPLACE INTO image (id, manifest, descriptor) VALUES (?, ?, ?)', id, own.digest, JSON.stringify(platform))
  }
}

/** Manifests of the images whose id begins with these hexadecimal digits, by id. */
export function imagesById(database: Database, prefix: string): Map<string, Descriptor> {
  const found = new Map<string, Descriptor>()
  // `g` sorts after every hexadecimal digit, so this range is what begins with the prefix.
  for (const row of database.all('SELECT id, descriptor FROM image WHERE id >= ? AND id < ? LIMIT 50', prefix, `${prefix}g`))
    found.set(String(row['id']), JSON.parse(String(row['descriptor'])) as Descriptor)
  return found
}

export function referrersOf(database: Database, subject: Digest): Descriptor[] {
  return database
    .all('SELECT descriptor FROM referrer WHERE subject = ?', subject)
    .map((row) => JSON.parse(String(row['descriptor'])) as Descriptor)
}
