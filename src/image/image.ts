import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { decodeConfig, type ImageConfig } from '#oci/config.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex, type Index, type Manifest } from '#oci/manifest.ts'
import { isConfig, isManifest, isManifestOrIndex, mediaTypes } from '#oci/media-type.ts'
import { formatPlatform, isLaterLevel, matchPlatform, selectPlatform } from '#oci/platform.ts'
import type { Source } from './content.ts'
import { readAll } from './read.ts'

/** A layer with both of its names. */
export interface Layer {
  readonly descriptor: Descriptor
  /** Digest of the layer when it is not compressed. */
  readonly diffId: Digest
}

/** A lazy, immutable view of one image manifest in one place. It is valid as long as its source is open. */
export interface Image {
  readonly descriptor: Descriptor
  readonly source: Source
  readonly manifest: Manifest
  /** The manifest, exactly as it was hashed. */
  readonly raw: Uint8Array
  /** @throws StaveError `unsupported`, if it is an artifact and not an image */
  config(cx: Context): Promise<ImageConfig>
  /** The config, exactly as it was hashed. */
  rawConfig(cx: Context): Promise<Uint8Array>
  /** Bottom first. @throws StaveError `invalid-document`, if manifest and config do not have the same number of layers */
  layers(cx: Context): Promise<readonly Layer[]>
}

/** A manifest or an index, decoded, and the bytes that were hashed. */
export type ManifestDocument =
  | { readonly kind: 'manifest'; readonly descriptor: Descriptor; readonly raw: Uint8Array; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly descriptor: Descriptor; readonly raw: Uint8Array; readonly index: Index }

/**
 * Reads a manifest or an index, verified and bounded.
 *
 * @throws StaveError `invalid-document`, `too-large`, `unsupported`, and what the source throws
 */
export async function readManifest(cx: Context, source: Source, descriptor: Descriptor): Promise<ManifestDocument> {
  const raw = await readAll(cx, source, descriptor, limit.manifestBytes)
  const decoded = decodeManifestOrIndex(raw, {
    title: descriptor.digest,
    ...(isGeneric(descriptor.mediaType) ? {} : { mediaType: descriptor.mediaType }),
  })
  const exact: Descriptor = decoded.mediaType === descriptor.mediaType ? descriptor : { ...descriptor, mediaType: decoded.mediaType }
  return decoded.kind === 'manifest'
    ? { kind: 'manifest', descriptor: exact, raw, manifest: decoded.manifest }
    : { kind: 'index', descriptor: exact, raw, index: decoded.index }
}

function isGeneric(mediaType: string): boolean {
  return mediaType === '' || mediaType === 'application/json' || mediaType === 'application/octet-stream'
}

/**
 * Opens the image that a descriptor names. Of an index it is the best one for `platform`; an index that has only one
 * image needs no platform.
 *
 * @throws StaveError `platform-mismatch`, with a list of what is there
 */
export async function openImage(cx: Context, source: Source, descriptor: Descriptor, platform?: Platform): Promise<Image> {
  let document = await readManifest(cx, source, descriptor)
  for (let depth = 0; document.kind === 'index'; depth++) {
    if (depth >= limit.indexDepth)
      throw new StaveError('invalid-document', `cannot open ${source.title}: its indexes are nested deeper than ${limit.indexDepth}`)
    const chosen = await choose(cx, source, document.index, platform)
    if (chosen === undefined) throw mismatch(source, descriptor, document.index, platform)
    document = await readManifest(cx, source, chosen)
  }
  const image = view(source, document.descriptor, document.manifest, document.raw)
  // A manifest that stands alone says nowhere but in its config which platform it is for.
  if (platform !== undefined && descriptor.digest === image.descriptor.digest && isConfig(image.manifest.config.mediaType)) {
    const config = await image.config(cx)
    if (!matchPlatform(platform, config) && !isLaterLevel(platform, config)) {
      throw new StaveError(
        'platform-mismatch',
        `cannot use ${source.title}@${descriptor.digest} for ${formatPlatform(platform)}: it is for ${formatPlatform(config)} only`,
      )
    }
  }
  return image
}

/** The image for a platform; of a manifest that stands alone, the one that it is, whatever it is for. */
export async function openNearest(cx: Context, source: Source, descriptor: Descriptor, platform: Platform): Promise<Image> {
  try {
    return await openImage(cx, source, descriptor, platform)
  } catch (error) {
    if (!hasCode(error, 'platform-mismatch')) throw error
    const document = await readManifest(cx, source, descriptor)
    if (document.kind === 'index') throw error
    return view(source, document.descriptor, document.manifest, document.raw)
  }
}

async function choose(cx: Context, source: Source, index: Index, platform: Platform | undefined): Promise<Descriptor | undefined> {
  const images = index.manifests.filter((entry) => isManifestOrIndex(entry.mediaType) && !isAttestation(entry))
  if (platform === undefined) return images.length === 1 ? images[0] : undefined
  const selected = selectPlatform(platform, images)
  if (selected !== undefined) return selected
  // The specification does not ask for `platform` in entries; then the configs have to be looked at.
  const seen = new Set<Digest>()
  for (const entry of images.filter((entry) => entry.platform === undefined)) {
    if (seen.has(entry.digest)) continue
    seen.add(entry.digest)
    if (!isManifest(entry.mediaType)) {
      // A nested index without a platform: its own entries decide, and they do it in openImage.
      if (images.length === 1) return entry
      continue
    }
    const document = await readManifest(cx, source, entry)
    if (document.kind !== 'manifest' || !isConfig(document.manifest.config.mediaType)) continue
    const config = await view(source, entry, document.manifest, document.raw).config(cx)
    if (matchPlatform(platform, config) || isLaterLevel(platform, config)) return entry
  }
  return undefined
}

/** BuildKit stores attestations as images for a platform that does not exist. */
export function isAttestation(entry: Descriptor): boolean {
  return entry.annotations?.['vnd.docker.reference.type'] !== undefined || entry.platform?.os === 'unknown'
}

function mismatch(source: Source, descriptor: Descriptor, index: Index, platform: Platform | undefined): StaveError {
  const there = index.manifests
    .filter((entry) => !isAttestation(entry))
    .map((entry) => (entry.platform === undefined ? `${entry.digest} (no platform)` : formatPlatform(entry.platform)))
  const list = there.length === 0 ? 'nothing' : [...new Set(there)].slice(0, 50).join(', ')
  return new StaveError(
    'platform-mismatch',
    platform === undefined
      ? `cannot choose an image of ${source.title}@${descriptor.digest}: it is an index of several, and no platform is given`
      : `cannot find ${formatPlatform(platform)} in ${source.title}@${descriptor.digest}: it has ${list}`,
    { hint: platform === undefined ? `Name one with --platform: ${list}.` : 'Choose one of these with --platform.' },
  )
}

/** An {@link Image} over a manifest that is read already. */
export function view(source: Source, descriptor: Descriptor, manifest: Manifest, raw: Uint8Array): Image {
  let rawConfig: Promise<Uint8Array> | undefined
  const readConfig = (cx: Context): Promise<Uint8Array> => {
    rawConfig ??= readAll(cx, source, manifest.config, limit.configBytes).catch((error: unknown) => {
      rawConfig = undefined
      throw error
    })
    return rawConfig
  }
  const config = async (cx: Context): Promise<ImageConfig> => {
    const { mediaType } = manifest.config
    if (!isConfig(mediaType) && !isGeneric(mediaType)) {
      const what = manifest.artifactType ?? mediaType
      throw new StaveError(
        'unsupported',
        `cannot use ${source.title}@${descriptor.digest} as an image: it is an artifact of type ${what}`,
        {
          hint:
            mediaType === mediaTypes.ociEmpty
              ? 'Artifacts can be copied, but neither run nor built on.'
              : 'Check that the name is that of an image.',
        },
      )
    }
    return decodeConfig(await readConfig(cx), manifest.config.digest)
  }
  return {
    descriptor,
    source,
    manifest,
    raw,
    config,
    rawConfig: readConfig,
    async layers(cx) {
      const { diff_ids: diffIds } = (await config(cx)).rootfs
      if (diffIds.length !== manifest.layers.length) {
        throw new StaveError(
          'invalid-document',
          `cannot use ${source.title}@${descriptor.digest}: its manifest has ${manifest.layers.length} layers, its config ${diffIds.length}`,
        )
      }
      return manifest.layers.map((layer, position) => ({ descriptor: layer, diffId: diffIds[position]! }))
    },
  }
}
