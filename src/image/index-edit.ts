import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { isConfig, mediaTypeIn, mediaTypes, type Format } from '#oci/media-type.ts'
import { normalizePlatform } from '#oci/platform.ts'
import type { Source } from './content.ts'
import type { Converted } from './convert.ts'
import { readManifest, view } from './image.ts'
import { encode, parseKeeping, patch, patchMap, type JsonObject } from './json.ts'
import { overlay } from './overlay.ts'
import { leavesFirst, walk } from './walk.ts'

/** Entries for an index, and where all that they lead to is. */
export interface Entries {
  readonly descriptors: readonly Descriptor[]
  readonly owners: ReadonlyMap<Digest, Source>
}

export interface IndexChange {
  readonly add?: readonly Entries[]
  /** Entries that stay; default: all. Attestations of others go with them. */
  readonly keep?: (entry: Descriptor) => boolean
  /** What an entry is to be; default: what it is. */
  readonly patch?: (entry: Descriptor) => { readonly platform?: Platform; readonly annotations?: Descriptor['annotations'] | undefined }
  /** Merged into those of the index; `undefined` removes one. */
  readonly annotations?: Readonly<Record<string, string | undefined>>
  readonly artifactType?: string
  readonly subject?: Descriptor
}

/**
 * What an image or index brings to another index: an image itself, with the platform that its config says, an index all
 * of its entries.
 *
 * @throws StaveError what reading manifests throws
 */
export async function entriesOf(cx: Context, source: Source, root: Descriptor): Promise<Entries> {
  const tree = await walk(cx, source, root)
  const owners = new Map<Digest, Source>()
  for (const { descriptor, blobs } of leavesFirst(tree)) for (const what of [descriptor, ...blobs]) owners.set(what.digest, source)
  const { document } = tree
  if (document.kind === 'index') return { descriptors: document.index.manifests, owners }
  const { mediaType, digest, size } = document.descriptor
  const entry: Descriptor = { mediaType, digest, size }
  const { manifest } = document
  if (!isConfig(manifest.config.mediaType)) {
    const artifactType = manifest.artifactType ?? manifest.config.mediaType
    return { descriptors: [{ ...entry, artifactType }], owners }
  }
  const config = await view(source, document.descriptor, manifest, document.raw).config(cx)
  const { os, architecture, variant } = config
  const platform = normalizePlatform({
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(config['os.version'] !== undefined && { 'os.version': config['os.version'] }),
    ...(config['os.features'] !== undefined && { 'os.features': config['os.features'] }),
  })
  return { descriptors: [{ ...entry, platform }], owners }
}

/** An index of nothing, in the words of a format, to {@link changeIndex}. */
export function emptyIndex(format: Format): { readonly raw: Uint8Array; readonly mediaType: string } {
  const mediaType = mediaTypeIn(format, mediaTypes.ociIndex)!
  return { raw: encode({ schemaVersion: 2, mediaType, manifests: [] }), mediaType }
}

/**
 * Changes the entries of an index: what it says besides stays. An entry that is there already is not added again.
 *
 * @throws StaveError `usage` if it is no index, `unsupported` for annotations in Docker's format
 */
export async function changeIndex(cx: Context, source: Source, root: Descriptor, change: IndexChange): Promise<Converted> {
  const document = await readManifest(cx, source, root)
  if (document.kind !== 'index') {
    throw new StaveError('usage', `cannot change the entries of ${source.title}@${root.digest}: it is an image and no index`, {
      hint: 'stave index create makes an index of images.',
    })
  }
  const owners = new Map((change.add ?? []).flatMap((entries) => [...entries.owners]))
  return changedIndex(source, document.raw, document.descriptor, document.index.manifests, owners, change)
}

/** The same of a document that is in no place yet. */
export function changedIndex(
  below: Source | undefined,
  raw: Uint8Array,
  { mediaType }: Pick<Descriptor, 'mediaType'>,
  before: readonly Descriptor[],
  owners: ReadonlyMap<Digest, Source>,
  { add = [], keep = () => true, patch: patched = () => ({}), annotations = {}, artifactType, subject }: IndexChange,
): Converted {
  const document = parseKeeping(raw)
  const kept = new Set(before.filter(keep).map(({ digest }) => digest))
  const isKept = (entry: Descriptor) => {
    const about = entry.annotations?.['vnd.docker.reference.digest']
    return kept.has(entry.digest) && (about === undefined || kept.has(about as Digest))
  }
  const old = ((document['manifests'] ?? []) as readonly JsonObject[]).flatMap((entry, at) =>
    isKept(before[at]!) ? [patch(entry, patched(before[at]!))] : [],
  )
  const seen = new Set<string>(old.map((entry) => entry['digest'] as string))
  const fresh = add
    .flatMap(({ descriptors }) => descriptors)
    .filter(({ digest }) => !seen.has(digest) && seen.add(digest))
    .map((entry) => patch({ ...entry }, patched(entry)))
  const isDocker = mediaType === mediaTypes.dockerIndex
  const merged = patchMap((document['annotations'] ?? {}) as JsonObject, annotations)
  if (isDocker && (Object.keys(annotations).length > 0 || artifactType !== undefined || subject !== undefined)) {
    throw new StaveError('unsupported', "cannot annotate the index: Docker's manifest lists have no annotations", {
      hint: 'Use the format oci.',
    })
  }
  const bytes = encode(
    patch(document, {
      ...(artifactType !== undefined && { artifactType }),
      manifests: [...old, ...fresh],
      ...(subject !== undefined && { subject }),
      annotations: merged,
    }),
  )
  const place = overlay(below?.title ?? 'a new index', owners, below)
  return { source: place, descriptor: place.top.put(bytes, mediaType) }
}
