/**
 * The media types that are understood.
 *
 * @see image-spec, "OCI Image Media Types" and its "Compatibility Matrix"; Docker's "Image Manifest V 2, Schema 2"
 */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociForeignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociForeignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociForeignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  /** The config of an artifact that has none: the two bytes `{}`. */
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  /** Not in any specification, but builders were seen to write it. */
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  /** Docker's schema 1: recognised in order to be refused with a reason. */
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

export type Compression = 'none' | 'gzip' | 'zstd'
export type Format = 'oci' | 'docker'

/** Everything that can be asked for by tag, in the order of preference, for an `Accept` header. */
export const acceptedManifests: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
]

interface LayerType {
  readonly compression: Compression
  readonly foreign: boolean
}

const layerTypes: ReadonlyMap<string, LayerType> = new Map<string, LayerType>([
  [mediaTypes.ociLayer, { compression: 'none', foreign: false }],
  [mediaTypes.ociLayerGzip, { compression: 'gzip', foreign: false }],
  [mediaTypes.ociLayerZstd, { compression: 'zstd', foreign: false }],
  [mediaTypes.ociForeignLayer, { compression: 'none', foreign: true }],
  [mediaTypes.ociForeignLayerGzip, { compression: 'gzip', foreign: true }],
  [mediaTypes.ociForeignLayerZstd, { compression: 'zstd', foreign: true }],
  [mediaTypes.dockerLayer, { compression: 'none', foreign: false }],
  [mediaTypes.dockerLayerGzip, { compression: 'gzip', foreign: false }],
  [mediaTypes.dockerLayerZstd, { compression: 'zstd', foreign: false }],
  [mediaTypes.dockerForeignLayer, { compression: 'none', foreign: true }],
  [mediaTypes.dockerForeignLayerGzip, { compression: 'gzip', foreign: true }],
])

/** OCI's name and Docker's for the same thing. Several OCI types without a Docker twin are absent. */
const twins: readonly (readonly [oci: string, docker: string])[] = [
  [mediaTypes.ociIndex, mediaTypes.dockerIndex],
  [mediaTypes.ociManifest, mediaTypes.dockerManifest],
  [mediaTypes.ociConfig, mediaTypes.dockerConfig],
  [mediaTypes.ociLayer, mediaTypes.dockerLayer],
  [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip],
  [mediaTypes.ociForeignLayer, mediaTypes.dockerForeignLayer],
  [mediaTypes.ociForeignLayerGzip, mediaTypes.dockerForeignLayerGzip],
]

const toOci: ReadonlyMap<string, string> = new Map([
  ...twins.map(([oci, docker]) => [docker, oci] as const),
  [mediaTypes.dockerLayerZstd, mediaTypes.ociLayerZstd] as const,
])
const toDocker: ReadonlyMap<string, string> = new Map(twins)

/** A media type as it is compared: without parameters, in lower case (RFC 9110 §8.3.1). */
export function normalizeMediaType(mediaType: string): string {
  const semicolon = mediaType.indexOf(';')
  return (semicolon < 0 ? mediaType : mediaType.slice(0, semicolon)).trim().toLowerCase()
}

export function isIndex(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex
}

/** Is it the manifest of an image or artifact (not an index)? */
export function isManifest(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest
}

/** Is it a document that a registry keeps as a manifest, with what it mentions: a manifest or an index? */
export function isManifestOrIndex(mediaType: string): boolean {
  return isManifest(mediaType) || isIndex(mediaType)
}

export function isSchema1(mediaType: string): boolean {
  return mediaType === mediaTypes.dockerSchema1 || mediaType === mediaTypes.dockerSchema1Signed
}

/** Is it the config of a runnable image (not of an artifact)? */
export function isConfig(mediaType: string): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig
}

/** Is it a file system layer, of whatever compression? */
export function isLayer(mediaType: string): boolean {
  return layerTypes.has(mediaType)
}

/** Is it a layer that its owner does not allow to be distributed by others? */
export function isForeignLayer(mediaType: string): boolean {
  return layerTypes.get(mediaType)?.foreign ?? false
}

/** How a layer of this media type is compressed. What is no layer counts as not compressed. */
export function compressionOf(mediaType: string): Compression {
  return layerTypes.get(mediaType)?.compression ?? 'none'
}

/** The media type of a layer. Docker has no zstd type that its peers agree on: that is `undefined`. */
export function layerMediaType(compression: Compression, format: Format = 'oci'): string | undefined {
  const type = `${mediaTypes.ociLayer}${compression === 'none' ? '' : `+${compression}`}`
  return format === 'oci' ? type : toDocker.get(type)
}

/** The family of a media type; what belongs to neither (in-toto, Helm, …) is OCI's. */
export function formatOf(mediaType: string): Format {
  return mediaType.startsWith('application/vnd.docker.') ? 'docker' : 'oci'
}

/** The same kind of content in the other family; `undefined` where it has no word for it. */
export function mediaTypeIn(format: Format, mediaType: string): string | undefined {
  if (format === 'oci') return toOci.get(mediaType) ?? mediaType
  if (formatOf(mediaType) === 'docker') return mediaType
  return toDocker.get(mediaType)
}
