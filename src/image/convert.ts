import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { formatOf, isLayer, mediaTypeIn, type Format } from '#oci/media-type.ts'
import type { Source } from './content.ts'
import { encode, parseKeeping, patch, type JsonObject } from './json.ts'
import { overlay } from './overlay.ts'
import { leavesFirst, walk, type ManifestNode } from './walk.ts'

/** A root in a place. */
export interface Converted {
  readonly source: Source
  readonly descriptor: Descriptor
}

/**
 * Turns a manifest, or an index with all that it has, into OCI's or Docker's media types. Configs and layers stay as
 * they are, bit for bit; manifests get other digests, so signatures of the old ones do not apply to them. Towards
 * Docker, annotations and `subject` of manifests are lost. Layers are not recompressed.
 *
 * @throws StaveError `unsupported`, if there is no word for a layer (Docker and zstd)
 */
export async function convert(cx: Context, source: Source, root: Descriptor, format: Format): Promise<Converted> {
  const tree = await walk(cx, source, root)
  const place = overlay(source.title, new Map(), source)
  const converted = new Map<Digest, Descriptor>()
  for (const node of leavesFirst(tree)) converted.set(node.descriptor.digest, convertNode(place.top.put, node, format, converted))
  return { source: place, descriptor: { ...root, ...converted.get(root.digest)! } }
}

function convertNode(
  put: (bytes: Uint8Array, mediaType: string) => Descriptor,
  node: ManifestNode,
  format: Format,
  converted: ReadonlyMap<Digest, Descriptor>,
): Descriptor {
  const before = parseKeeping(node.document.raw)
  const mediaType = mediaTypeIn(format, node.descriptor.mediaType)!
  // An artifact has no Docker form; it is left alone, and an index may mention it.
  if (formatOf(node.descriptor.mediaType) === format && before['mediaType'] === mediaType && node.document.kind === 'manifest')
    return node.descriptor
  const common = { mediaType, ...(format === 'docker' && { annotations: undefined, subject: undefined, artifactType: undefined }) }
  if (node.document.kind === 'manifest') {
    const { config, layers } = before as { readonly config: JsonObject; readonly layers: readonly JsonObject[] | null }
    return put(
      encode(
        patch(before, { ...common, config: convertRaw(format, config), layers: (layers ?? []).map((layer) => convertRaw(format, layer)) }),
      ),
      mediaType,
    )
  }
  const manifests = convertEntries(before, converted)
  return put(encode(patch(before, { ...common, manifests })), mediaType)
}

/** The entries of an index, which lead to what became of the manifests that they led to. */
export function convertEntries(index: JsonObject, converted: ReadonlyMap<Digest, Descriptor>): readonly JsonObject[] {
  return ((index['manifests'] ?? []) as readonly JsonObject[]).map((entry) => {
    const child = converted.get(entry['digest'] as Digest)
    // The attestation of a platform names the manifest that it is for.
    const annotations = entry['annotations'] as JsonObject | undefined
    const subject = converted.get(annotations?.['vnd.docker.reference.digest'] as Digest)
    return patch(entry, {
      ...(child !== undefined && { mediaType: child.mediaType, digest: child.digest, size: child.size }),
      ...(subject !== undefined && { annotations: patch(annotations!, { 'vnd.docker.reference.digest': subject.digest }) }),
    })
  })
}

/** A descriptor of a config or layer, still JSON, with the media type that it has in a format. */
export function convertRaw(format: Format, raw: JsonObject): JsonObject {
  return patch(raw, { mediaType: mediaTypeOrFail(format, raw['mediaType'] as string) })
}

/** The same for one that is decoded. */
export function convertDescriptor(format: Format, descriptor: Descriptor): Descriptor {
  const mediaType = mediaTypeOrFail(format, descriptor.mediaType)
  return mediaType === descriptor.mediaType ? descriptor : { ...descriptor, mediaType }
}

function mediaTypeOrFail(format: Format, mediaType: string): string {
  const converted = mediaTypeIn(format, mediaType)
  if (converted !== undefined) return converted
  // What is no layer of a file system (in-toto, signatures) has one name only, which Docker's manifests may use as well.
  if (!isLayer(mediaType)) return mediaType
  throw new StaveError('unsupported', `cannot use a layer of type ${mediaType} in Docker's format: it has no name for it there`, {
    hint: 'Compress the layers with gzip, or use the format oci.',
  })
}
