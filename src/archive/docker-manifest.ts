import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Listed } from '#image/content.ts'
import { encode } from '#image/json.ts'
import * as limit from '#limit.ts'
import { decodeConfig } from '#oci/config.ts'
import { array, decodeJson, object, string } from '#oci/decode.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestOf, isDigest, type Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import { isManifestOrIndex, layerMediaType, mediaTypes } from '#oci/media-type.ts'
import { blobName } from './source.ts'
import { compressionOfBytes, type TarEntry, type TarFile } from './tar-file.ts'

/** One image of a manifest.json, with its files by name. */
export interface DockerImage {
  readonly Config: string
  readonly RepoTags?: readonly string[]
  readonly Layers: readonly string[]
}

const dockerImages = array(
  object({ Config: string, Layers: array(string, limit.descriptors) }, { RepoTags: array(string, limit.archiveImages) }),
  limit.archiveImages,
)

export interface DockerEntries {
  readonly entries: readonly Listed[]
  /** Configs and layers under Docker's names, and the manifests made for them. */
  readonly elsewhere: ReadonlyMap<Digest, TarEntry | Uint8Array>
}

/**
 * Reads the manifest.json of `docker save`. An image that the OCI layout beside it has as well is taken from there, so
 * that it keeps its digest. Others (older Dockers, podman, skopeo) have no manifest in the archive: it is made, in
 * OCI's media types, over the config and layers as they lie there.
 */
export async function readDockerEntries(cx: Context, tar: TarFile, manifest: TarEntry, layout: readonly Listed[]): Promise<DockerEntries> {
  const raw = await tar.readAll(cx, manifest, limit.jsonBytes)
  const images: readonly DockerImage[] = decodeJson(
    raw,
    limit.jsonBytes,
    `manifest.json of ${tar.title}`,
    'Docker Image Specification v1.2',
    dockerImages,
  )
  const elsewhere = new Map<Digest, TarEntry | Uint8Array>()
  const entries = layout.map((entry) => ({ descriptor: entry.descriptor, names: [...entry.names] }))
  const layoutRoots = await rootsByConfig(cx, tar, layout)
  const layers = new Map<string, Promise<Descriptor>>()

  for (const image of images) {
    cx.signal.throwIfAborted()
    const configEntry = findOrFail(tar, image.Config)
    const config = await tar.readAll(cx, configEntry, limit.configBytes)
    const configDigest = digestOf(config)
    const root = layoutRoots.get(configDigest) ?? (await synthesize(cx, tar, image, config, elsewhere, layers))
    elsewhere.set(configDigest, configEntry)
    let entry = entries.find((other) => other.descriptor.digest === root.digest)
    if (entry === undefined) entries.push((entry = { descriptor: root, names: [] }))
    for (const name of image.RepoTags ?? []) if (!hasName(entry.names, name)) entry.names.push(name)
  }
  return { entries, elsewhere }
}

/** The layout has the full form, manifest.json the short one. */
function hasName(names: readonly string[], name: string): boolean {
  return names.some((other) => other === name || other === `docker.io/${name}` || other === `docker.io/library/${name}`)
}

/** The entry of the layout under which the image of a config is. Platforms that are only mentioned are passed over. */
async function rootsByConfig(cx: Context, tar: TarFile, layout: readonly Listed[]): Promise<ReadonlyMap<Digest, Descriptor>> {
  const roots = new Map<Digest, Descriptor>()
  // What is mentioned again is what it was: three thousand equal children on each of four levels are four manifests.
  const seen = new Set<Digest>()
  const visit = async (descriptor: Descriptor, root: Descriptor, depth: number): Promise<void> => {
    cx.signal.throwIfAborted()
    if (seen.has(descriptor.digest)) return
    seen.add(descriptor.digest)
    if (seen.size > limit.manifests)
      throw new StaveError('too-large', `cannot read ${tar.title}: it has more than ${limit.manifests} manifests`)
    const entry = isManifestOrIndex(descriptor.mediaType) ? tar.find(blobName(descriptor.digest)) : undefined
    if (entry === undefined || depth > limit.indexDepth) return
    const raw = await tar.readAll(cx, entry, limit.manifestBytes)
    const document = decodeManifestOrIndex(raw, { mediaType: descriptor.mediaType, title: descriptor.digest })
    if (document.kind === 'manifest') {
      const complete = document.manifest.layers.every((layer) => tar.find(blobName(layer.digest)) !== undefined)
      if (complete && !roots.has(document.manifest.config.digest)) roots.set(document.manifest.config.digest, root)
      return
    }
    for (const child of document.index.manifests) await visit(child, root, depth + 1)
  }
  for (const { descriptor } of layout) await visit(descriptor, descriptor, 0)
  return roots
}

async function synthesize(
  cx: Context,
  tar: TarFile,
  image: DockerImage,
  config: Uint8Array,
  elsewhere: Map<Digest, TarEntry | Uint8Array>,
  known: Map<string, Promise<Descriptor>>,
): Promise<Descriptor> {
  const configDigest = digestOf(config)
  const diffIds = decodeConfig(config, image.Config).rootfs.diff_ids
  if (diffIds.length !== image.Layers.length) {
    throw new StaveError(
      'invalid-document',
      `cannot read ${tar.title}: manifest.json has ${image.Layers.length} layers for ${image.Config}, its config ${diffIds.length}`,
    )
  }
  const layers: Descriptor[] = []
  for (const [position, name] of image.Layers.entries()) {
    const entry = findOrFail(tar, name)
    const key = `${entry.name} ${diffIds[position]!}`
    let layer = known.get(key)
    if (layer === undefined) known.set(key, (layer = describeLayer(cx, tar, entry, diffIds[position]!)))
    const descriptor = await layer
    elsewhere.set(descriptor.digest, entry)
    layers.push(descriptor)
  }
  const raw = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: configDigest, size: config.length },
    layers,
  })
  const digest = digestOf(raw)
  elsewhere.set(digest, raw)
  return { mediaType: mediaTypes.ociManifest, digest, size: raw.length }
}

async function describeLayer(cx: Context, tar: TarFile, entry: TarEntry, diffId: Digest): Promise<Descriptor> {
  const first = await tar.readAll(cx, { ...entry, size: Math.min(6, entry.size) }, 6)
  const compression = compressionOfBytes(first, `${entry.name} of ${tar.title}`)
  const mediaType = layerMediaType(compression)!
  // What is not compressed has the diff id as its digest; if not, reading it fails.
  if (compression === 'none') return { mediaType, digest: diffId, size: entry.size }
  const named = /(?:^|\/)blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(entry.name)
  const digest = named === null ? '' : `${named[1]}:${named[2]}`
  if (isDigest(digest)) return { mediaType, digest, size: entry.size }
  const hasher = createHasher()
  for await (const chunk of tar.read(cx, entry)) hasher.update(chunk)
  return { mediaType, digest: hasher.digest(), size: entry.size }
}

function findOrFail(tar: TarFile, name: string): TarEntry {
  const entry = tar.find(name)
  if (entry === undefined)
    throw new StaveError('invalid-document', `cannot read ${tar.title}: manifest.json names ${JSON.stringify(name)}, which is not in it`)
  return entry
}
