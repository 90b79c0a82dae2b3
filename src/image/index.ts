import { StaveError } from '#error.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeIndex, type Index, type Manifest } from '#oci/manifest.ts'
import { formatOf, mediaTypeIn, mediaTypes, type Format } from '#oci/media-type.ts'
import { normalizePlatform } from '#oci/platform.ts'
import type { Source } from './content.ts'
import { encode, patchMap } from './json.ts'
import { overlay, union } from './overlay.ts'

/** What is to be in an index: an image, an artifact, another index. */
export interface IndexEntry {
  readonly descriptor: Descriptor
  readonly source: Source
  /** Where it is known: then no other place is asked for its config and layers. */
  readonly manifest?: Manifest
  /** Default: that of the descriptor. */
  readonly platform?: Platform
  /** Added to those of the descriptor. */
  readonly annotations?: Readonly<Record<string, string>>
}

export interface IndexOptions {
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
  readonly subject?: Descriptor
  /** Default: Docker's if all entries are Docker's, else OCI. */
  readonly format?: Format
}

/** An index in a place that has all of it. It is valid as long as the sources of its entries are. */
export interface ImageIndex {
  readonly descriptor: Descriptor
  readonly source: Source
  readonly index: Index
  readonly raw: Uint8Array
}

/** Makes an index, in the order of the entries. An {@link Image} is an entry. The same input gives the same bytes. */
export function makeIndex(entries: readonly IndexEntry[], options: IndexOptions = {}): ImageIndex {
  const allDocker = entries.length > 0 && entries.every((entry) => formatOf(entry.descriptor.mediaType) === 'docker')
  const format = options.format ?? (allDocker ? 'docker' : 'oci')
  if (format === 'docker' && (options.annotations ?? options.artifactType ?? options.subject) !== undefined) {
    throw new StaveError('unsupported', "cannot annotate the index: Docker's manifest lists have no annotations", {
      hint: 'Use the format oci.',
    })
  }
  const owners = new Map<Digest, Source>()
  const manifests = entries.map((entry) => {
    const { source, descriptor, manifest } = entry
    for (const what of [descriptor, ...(manifest === undefined ? [] : [manifest.config, ...manifest.layers])])
      owners.set(what.digest, source)
    return entryDescriptor(entry)
  })
  const annotations = patchMap(options.annotations ?? {}, {})
  const mediaType = mediaTypeIn(format, mediaTypes.ociIndex)!
  const raw = encode({
    schemaVersion: 2,
    mediaType,
    ...(options.artifactType !== undefined && { artifactType: options.artifactType }),
    manifests,
    ...(options.subject !== undefined && { subject: options.subject }),
    ...(annotations !== undefined && { annotations }),
  })
  const place = overlay('a new index', owners, union(entries.map((entry) => entry.source)))
  const descriptor = place.top.put(raw, mediaType)
  return { descriptor, source: place, index: decodeIndex(raw, { mediaType }), raw }
}

function entryDescriptor({ descriptor, platform = descriptor.platform, annotations: more }: IndexEntry): Descriptor {
  const { mediaType, digest, size, artifactType } = descriptor
  const annotations = patchMap(descriptor.annotations ?? {}, more ?? {}) as Readonly<Record<string, string>> | undefined
  return {
    mediaType,
    digest,
    size,
    ...(platform !== undefined && { platform: platform.os === 'unknown' ? platform : normalizePlatform(platform) }),
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
  }
}
