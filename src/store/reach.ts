import { hasCode } from '#error.ts'
import * as limit from '#limit.ts'
import { decodeConfig } from '#oci/config.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import { isConfig, isManifestOrIndex } from '#oci/media-type.ts'
import type { LocalStore } from './open.ts'
import { chainIds } from './snapshots.ts'

/** What follows from some descriptors: the blobs that they mention, all the way down, and the layer stacks of their images. */
export interface Reach {
  readonly blobs: Set<Digest>
  readonly chains: Set<Digest>
  /** What is mentioned but not there, or cannot be read, with where it is mentioned. */
  readonly problems: { readonly digest: Digest; readonly within: string; readonly error: unknown }[]
}

/**
 * Walks from descriptors to everything that they mention. The platforms of an index that were not fetched are no
 * problem: an index may be kept with some of its images.
 */
export function reach(store: LocalStore, roots: Iterable<{ readonly descriptor: Descriptor; readonly title: string }>): Reach {
  const found: Reach = { blobs: new Set(), chains: new Set(), problems: [] }
  for (const { descriptor, title } of roots) visit(store, found, descriptor, title, false, 0)
  return found
}

function visit(store: LocalStore, found: Reach, what: Descriptor, within: string, optional: boolean, depth: number): void {
  if (depth > limit.indexDepth + 2 || found.blobs.has(what.digest)) return
  if (optional && !isPresent(store, what)) return
  found.blobs.add(what.digest)
  for (const referrer of referrers(store, what.digest)) visit(store, found, referrer, `what refers to ${what.digest}`, true, depth + 1)
  if (!isManifestOrIndex(what.mediaType)) {
    if (!isPresent(store, what))
      found.problems.push({ digest: what.digest, within, error: new Error('it is not there, or has another size') })
    return
  }
  try {
    const raw = store.files.readSync(what.digest, limit.manifestBytes)
    const document = decodeManifestOrIndex(raw, { mediaType: what.mediaType, title: what.digest })
    if (document.kind === 'index') {
      for (const child of document.index.manifests) visit(store, found, child, within, true, depth + 1)
      return
    }
    const { config, layers } = document.manifest
    for (const child of [config, ...layers]) visit(store, found, child, within, false, depth + 1)
    if (!isConfig(config.mediaType) || !isPresent(store, config)) return
    const diffIds = decodeConfig(store.files.readSync(config.digest, limit.configBytes)).rootfs.diff_ids
    for (const chain of chainIds(diffIds)) found.chains.add(chain)
  } catch (error) {
    if (!hasCode(error, 'blob-unknown', 'invalid-document', 'unsupported', 'too-large', 'digest-mismatch')) throw error
    found.problems.push({ digest: what.digest, within, error })
  }
}

function isPresent(store: LocalStore, what: Descriptor): boolean {
  return store.files.sizeOf(what.digest) === what.size
}

function referrers(store: LocalStore, subject: Digest): Descriptor[] {
  return store.database
    .all('SELECT descriptor FROM referrer WHERE subject = ?', subject)
    .map((row) => JSON.parse(String(row['descriptor'])) as Descriptor)
}

const imagesOfContainers = `SELECT name, json_extract(record, '$.manifest') AS manifest FROM container
  UNION ALL SELECT container.name, json_extract(mount.value, '$.manifest') FROM container, json_each(container.record, '$.spec.mounts') AS mount
  WHERE json_extract(mount.value, '$.manifest') IS NOT NULL`

/** Everything that keeps content: names, and containers with the images that they were made of. */
export function roots(store: LocalStore): { descriptor: Descriptor; title: string }[] {
  const names = store.names.list().map(({ name, descriptor }) => ({ descriptor, title: name }))
  return [...names, ...containerImages(store)]
}

/** The images that containers are made of, and those that they mount. */
export function containerImages(store: LocalStore): { descriptor: Descriptor; title: string }[] {
  return store.database.all(imagesOfContainers).map((row) => ({
    descriptor: JSON.parse(String(row['manifest'])) as Descriptor,
    title: `container ${String(row['name'])}`,
  }))
}
