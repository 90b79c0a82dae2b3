import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex, type ManifestOrIndex } from '#oci/manifest.ts'
import { isIndex, isManifestOrIndex, mediaTypes } from '#oci/media-type.ts'
import * as limit from '#limit.ts'

/**
 * The descriptor under which a manifest is listed among the referrers of `subject`, if it is one.
 *
 * @see distribution-spec, "Listing Referrers": type and annotations are those of the manifest
 */
export function referrerOf(subject: Digest, descriptor: Descriptor, raw: Uint8Array): Descriptor | undefined {
  const document = tryDecode(descriptor.mediaType, raw)
  if (document === undefined) return undefined
  const { subject: mentioned, annotations, artifactType } = document.kind === 'manifest' ? document.manifest : document.index
  if (mentioned?.digest !== subject) return undefined
  const type = artifactType ?? (document.kind === 'manifest' ? document.manifest.config.mediaType : undefined)
  return {
    mediaType: document.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(annotations !== undefined && { annotations }),
    ...(type !== undefined && type !== mediaTypes.ociEmpty && { artifactType: type }),
  }
}

/**
 * Looks for referrers in a place that has no list of them: among its entries, and those of indexes there.
 *
 * @param read the content of a manifest, `undefined` if the place does not have it
 */
export async function findReferrers(
  subject: Digest,
  entries: readonly Descriptor[],
  read: (what: Descriptor) => Promise<Uint8Array | undefined>,
): Promise<readonly Descriptor[]> {
  const found = new Map<Digest, Descriptor>()
  const seen = new Set<Digest>()
  const visit = async (descriptors: readonly Descriptor[], depth: number): Promise<void> => {
    for (const descriptor of descriptors) {
      if (!isManifestOrIndex(descriptor.mediaType) || seen.has(descriptor.digest)) continue
      seen.add(descriptor.digest)
      const raw = await read(descriptor)
      if (raw === undefined) continue
      const referrer = referrerOf(subject, descriptor, raw)
      if (referrer !== undefined) found.set(referrer.digest, referrer)
      const document = isIndex(descriptor.mediaType) && depth > 0 ? tryDecode(descriptor.mediaType, raw) : undefined
      if (document?.kind === 'index') await visit(document.index.manifests, depth - 1)
    }
  }
  await visit(entries, limit.indexDepth)
  return [...found.values()]
}

/** Anything may lie in a place; what is no manifest refers to nothing. */
function tryDecode(mediaType: string, raw: Uint8Array): ManifestOrIndex | undefined {
  if (raw.length > limit.manifestBytes || raw[0] !== 0x7b /* { */) return undefined
  try {
    return decodeManifestOrIndex(raw, isManifestOrIndex(mediaType) ? { mediaType } : {})
  } catch {
    return undefined
  }
}
