import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import { readManifest } from '#image/image.ts'
import { encode, patchMap } from '#image/json.ts'
import { overlay } from '#image/overlay.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import type { Manifest } from '#oci/manifest.ts'
import { mediaTypes } from '#oci/media-type.ts'

/** The name of a layer's file. @see image-spec, "Pre-Defined Annotation Keys" */
export const titleAnnotation = 'org.opencontainers.image.title'
const createdAnnotation = 'org.opencontainers.image.created'
/** By these oras knows that a layer was a directory: the digest of the tar, and that it is to be unpacked. */
export const contentAnnotation = 'io.deis.oras.content.digest'
export const unpackAnnotation = 'io.deis.oras.content.unpack'

/** What oras calls an artifact whose kind nobody said. */
export const unknownArtifact = 'application/vnd.unknown.artifact.v1'

/** A layer, and where it is. */
export interface ArtifactLayer {
  readonly descriptor: Descriptor
  readonly source: Source
}

export interface ArtifactOptions {
  readonly artifactType?: string
  /** Default: the empty one. */
  readonly config?: ArtifactLayer
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
  readonly created: Date
}

export interface Artifact {
  readonly descriptor: Descriptor
  readonly source: Source
}

/**
 * Makes the manifest of an artifact, over the places that have its layers.
 *
 * @see image-spec, "Guidelines for Artifact Usage"
 */
export function makeArtifact(layers: readonly ArtifactLayer[], options: ArtifactOptions): Artifact {
  const { config, subject } = options
  const owners = new Map(
    [...layers, ...(config === undefined ? [] : [config])].map(({ descriptor, source }) => [descriptor.digest, source]),
  )
  const place = overlay('a new artifact', owners, undefined)
  const empty = place.top.put(Buffer.from('{}'), mediaTypes.ociEmpty)
  const artifactType = options.artifactType ?? (config === undefined ? unknownArtifact : undefined)
  const raw = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(artifactType !== undefined && { artifactType }),
    config: config?.descriptor ?? empty,
    layers: layers.length === 0 ? [empty] : layers.map(({ descriptor }) => descriptor),
    ...(subject !== undefined && { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    annotations: patchMap({ [createdAnnotation]: options.created.toISOString().replace(/\.\d+Z$/, 'Z') }, options.annotations ?? {}),
  })
  return { descriptor: place.top.put(raw, mediaTypes.ociManifest), source: place }
}

/** The manifest of an artifact, or of an image. @throws StaveError `usage` for an index */
export async function openArtifact(cx: Context, source: Source, root: Descriptor): Promise<Manifest> {
  const document = await readManifest(cx, source, root)
  if (document.kind === 'manifest') return document.manifest
  throw new StaveError('usage', `cannot pull the files of ${source.title}@${root.digest}: it is an index of several`, {
    hint: 'Choose one with --platform, or name it by its digest.',
  })
}

/** A manifest with what refers to it. */
export interface Referrers {
  readonly descriptor: Descriptor
  readonly referrers: readonly Referrers[]
}

/**
 * What refers to a manifest, and what refers to that, each once.
 *
 * @param artifactType Only what is of this kind
 * @throws StaveError `unsupported` if the place does not tell, `too-large`
 */
export async function discover(
  cx: Context,
  source: Source,
  root: Descriptor,
  options: { readonly artifactType?: string | undefined; readonly depth: number },
): Promise<Referrers> {
  const { referrers } = source
  if (referrers === undefined) {
    throw new StaveError(
      'unsupported',
      `cannot tell what refers to ${source.title}@${root.digest}: that is known of registries and layouts`,
    )
  }
  const seen = new Set<Digest>([root.digest])
  const visit = async (descriptor: Descriptor, depth: number): Promise<Referrers> => {
    if (depth === 0) return { descriptor, referrers: [] }
    const found = (await referrers(cx, descriptor.digest)).filter(
      (entry) => !seen.has(entry.digest) && (options.artifactType === undefined || entry.artifactType === options.artifactType),
    )
    for (const { digest } of found) seen.add(digest)
    if (seen.size > limit.manifests) throw new StaveError('too-large', `cannot list what refers to ${root.digest}: there is too much`)
    const children: Referrers[] = []
    for (const entry of found) children.push(await visit(entry, depth - 1))
    return { descriptor, referrers: children }
  }
  return visit(root, options.depth)
}

/** Is it the config that has nothing in it? */
export function isEmptyContent({ digest }: Descriptor): boolean {
  return digest === digestOf('{}')
}
