import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { decodeConfig, type ExecutionConfig, type History } from '#oci/config.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { decodeManifest } from '#oci/manifest.ts'
import { formatOf, mediaTypeIn, mediaTypes, type Format } from '#oci/media-type.ts'
import { normalizePlatform } from '#oci/platform.ts'
import type { Source } from './content.ts'
import { convertDescriptor, convertRaw } from './convert.ts'
import { view, type Image } from './image.ts'
import { encode, parseKeeping, patch, patchMap, type JsonObject } from './json.ts'
import { overlay } from './overlay.ts'

export { makeIndex } from './index.ts'

/** One line of the new history, with the layer that it made, if it made one. */
export interface Addition {
  readonly history?: History
  readonly layer?: {
    readonly descriptor: Descriptor
    readonly diffId: Digest
    /** The place that has the layer. */
    readonly source: Source
  }
}

/** What is different in the new image. What is not mentioned stays as it is in the base. */
export interface ImageEdit {
  /** In the order in which they happened. */
  readonly add?: readonly Addition[]
  /** Each field given replaces that of the base; `undefined` removes it. */
  readonly config?: { readonly [K in keyof ExecutionConfig]?: ExecutionConfig[K] | undefined }
  /** Merged into `config.Labels`; `undefined` removes one. */
  readonly labels?: Readonly<Record<string, string | undefined>>
  /** Annotations of the manifest; `undefined` removes one. */
  readonly annotations?: Readonly<Record<string, string | undefined>>
  /** RFC 3339. */
  readonly created?: string
  readonly author?: string
  /** Required without a base. */
  readonly platform?: Platform
  /** Layers and history of the base are left out: the new ones have all that is in them. */
  readonly replaceLayers?: boolean
  /** Annotations, `subject` and unknown fields of the base's manifest are left out. Its config is the base nevertheless. */
  readonly freshManifest?: boolean
  /** More fields of the config, for what has no name here; `undefined` removes one. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Default: that of the base, or OCI. */
  readonly format?: Format
}

/**
 * Makes another image from one, or from nothing. Base image and layers are not touched and not read: the result is a
 * view, with a new manifest and config in memory, over the places that have the rest, and is valid while these are.
 * Unknown fields are kept, and the same input gives the same bytes.
 *
 * @throws StaveError `unsupported`, if the format has no word for a layer (Docker and zstd) or the base is an artifact
 */
export async function edit(cx: Context, base: Image | undefined, change: ImageEdit): Promise<Image> {
  const format = change.format ?? (base === undefined ? 'oci' : formatOf(base.descriptor.mediaType))
  const added = (change.add ?? []).flatMap(({ layer }) => (layer === undefined ? [] : [layer]))
  const owners = new Map(added.map((layer) => [layer.descriptor.digest, layer.source] as const))
  const place = overlay(base === undefined ? 'a new image' : `an image made from ${base.source.title}`, owners, base?.source)

  const rawConfig = await editConfig(cx, base, change)
  const config = place.top.put(rawConfig, mediaTypeIn(format, mediaTypes.ociConfig)!)
  const layers = [
    ...(change.replaceLayers === true ? [] : baseLayers(base, format)),
    ...added.map((layer) => convertDescriptor(format, layer.descriptor)),
  ]
  const raw = editManifest(base, change, format, config, layers)
  const descriptor = place.top.put(raw, mediaTypeIn(format, mediaTypes.ociManifest)!)
  const { os, architecture, variant, ...rest } = decodeConfig(rawConfig)
  const platform = normalizePlatform({
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(rest['os.version'] !== undefined && { 'os.version': rest['os.version'] }),
    ...(rest['os.features'] !== undefined && { 'os.features': rest['os.features'] }),
  })
  return view(place, { ...descriptor, platform }, decodeManifest(raw, { mediaType: descriptor.mediaType }), raw)
}

/** As they are written in the base, with the fields that only others know. */
function baseLayers(base: Image | undefined, format: Format): readonly JsonObject[] {
  if (base === undefined) return []
  return ((parseKeeping(base.raw)['layers'] ?? []) as readonly JsonObject[]).map((layer) => convertRaw(format, layer))
}

function editManifest(
  base: Image | undefined,
  change: ImageEdit,
  format: Format,
  config: Descriptor,
  layers: readonly unknown[],
): Uint8Array {
  const before: JsonObject = base === undefined || change.freshManifest === true ? {} : parseKeeping(base.raw)
  const annotations = patchMap((before['annotations'] ?? {}) as JsonObject, change.annotations ?? {})
  if (format === 'docker' && annotations !== undefined && change.annotations !== undefined) {
    throw new StaveError('unsupported', "cannot annotate the image: Docker's manifests have no annotations", {
      hint: 'Use the format oci, or labels.',
    })
  }
  return encode(
    patch(before, {
      schemaVersion: 2,
      mediaType: mediaTypeIn(format, mediaTypes.ociManifest),
      config,
      layers,
      annotations: format === 'docker' ? undefined : annotations,
      ...(format === 'docker' && { subject: undefined, artifactType: undefined }),
    }),
  )
}

async function editConfig(cx: Context, base: Image | undefined, change: ImageEdit): Promise<Uint8Array> {
  const platform = change.platform === undefined ? undefined : normalizePlatform(change.platform)
  if (base === undefined && platform === undefined) throw new StaveError('usage', 'cannot make an image from nothing without a platform')
  const baseConfig = await base?.config(cx)
  const before: JsonObject = base === undefined ? {} : parseKeeping(await base.rawConfig(cx))
  const keepLayers = base !== undefined && change.replaceLayers !== true
  const kept = keepLayers ? await base.layers(cx) : []
  const additions = change.add ?? []

  const execution = (before['config'] ?? {}) as JsonObject
  const changed = patch(execution, sortedMaps(change.config ?? {}))
  const labels = change.labels === undefined ? changed['Labels'] : patchMap((changed['Labels'] ?? {}) as JsonObject, change.labels)
  return encode(
    patch(before, {
      ...(change.created !== undefined && { created: change.created }),
      ...(change.author !== undefined && { author: change.author }),
      architecture: platform?.architecture ?? baseConfig?.architecture,
      os: platform?.os ?? baseConfig?.os,
      ...(platform !== undefined && {
        variant: platform.variant,
        'os.version': platform['os.version'] ?? baseConfig?.['os.version'],
        'os.features': platform['os.features'] ?? baseConfig?.['os.features'],
      }),
      config: patch(changed, { Labels: labels ?? undefined }),
      rootfs: {
        type: 'layers',
        diff_ids: [...kept.map((layer) => layer.diffId), ...additions.flatMap(({ layer }) => (layer === undefined ? [] : [layer.diffId]))],
      },
      history: [...(keepLayers ? baseHistory(before, kept.length) : []), ...additions.flatMap(newHistory)],
      ...change.extra,
    }),
  )
}

/** Lines of the base, filled up where it has fewer than layers: then no one could tell which line made which layer. */
function baseHistory(before: JsonObject, layers: number): readonly unknown[] {
  const lines = (before['history'] ?? []) as readonly History[]
  const missing = layers - lines.filter((line) => line.empty_layer !== true).length
  return [...lines, ...Array.from({ length: Math.max(0, missing) }, () => ({ comment: 'missing in the base image' }))]
}

function newHistory({ history, layer }: Addition): readonly History[] {
  if (layer !== undefined) {
    const { empty_layer: _, ...line } = history ?? {}
    return [line]
  }
  return history === undefined ? [] : [{ ...history, empty_layer: true }]
}

function sortedMaps(config: NonNullable<ImageEdit['config']>): JsonObject {
  const result: Record<string, unknown> = { ...config }
  for (const key of ['Labels', 'ExposedPorts', 'Volumes'] as const) {
    const value = config[key]
    if (value !== undefined) result[key] = patchMap({}, value)
  }
  return result
}
