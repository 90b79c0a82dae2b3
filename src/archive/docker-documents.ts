import { StaveError } from '#error.ts'
import { canonical } from '#image/entries.ts'
import { isAttestation } from '#image/image.ts'
import * as limit from '#limit.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { digestHex, type Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex, type Manifest } from '#oci/manifest.ts'
import { isConfig, isForeignLayer } from '#oci/media-type.ts'
import { hostPlatform, selectPlatform } from '#oci/platform.ts'
import { familiarName, parseReference } from '#oci/reference.ts'
import type { DockerImage } from './docker-manifest.ts'
import { blobName } from './source.ts'

export interface NamedRoot {
  readonly descriptor: Descriptor
  /** Empty for content that has none. */
  readonly name: string
}

/**
 * Docker's own documents for what is in an archive: manifest.json, and the older `repositories`.
 *
 * @param documents all manifests and indexes in the archive
 * @throws StaveError `unsupported`, for what is no image; `platform-mismatch`
 * @see Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format"
 */
export function dockerDocuments(
  roots: readonly NamedRoot[],
  documents: ReadonlyMap<Digest, Uint8Array>,
  platform: Platform | undefined,
  title: string,
): readonly (readonly [name: string, value: unknown])[] {
  const images = new Map<Digest, { readonly image: DockerImage; readonly tags: string[] }>()
  const repositories: Record<string, Record<string, string>> = {}
  for (const root of roots) {
    const manifest = imageOf(root.descriptor, documents, platform, title)
    let entry = images.get(manifest.config.digest)
    if (entry === undefined) images.set(manifest.config.digest, (entry = { image: dockerImage(manifest, title), tags: [] }))
    const tagged = taggedName(root.name)
    if (tagged === undefined || entry.tags.includes(tagged.name)) continue
    entry.tags.push(tagged.name)
    const top = manifest.layers.at(-1)
    if (top !== undefined) (repositories[tagged.repository] ??= {})[tagged.tag] = digestHex(top.digest)
  }
  return [
    [
      'manifest.json',
      [...images.values()].map(({ image, tags }) => ({
        Config: image.Config,
        RepoTags: tags.length === 0 ? null : tags,
        Layers: image.Layers,
      })),
    ],
    ...(Object.keys(repositories).length === 0 ? [] : [['repositories', repositories] as const]),
  ]
}

function dockerImage(manifest: Manifest, title: string): DockerImage {
  if (!isConfig(manifest.config.mediaType)) {
    throw new StaveError(
      'unsupported',
      `cannot put an artifact of type ${manifest.config.mediaType} into ${title}: Docker's archives hold images only`,
      {
        hint: 'Use oci-archive.',
      },
    )
  }
  const foreign = manifest.layers.find((layer) => isForeignLayer(layer.mediaType) && (layer.urls?.length ?? 0) > 0)
  if (foreign !== undefined) {
    throw new StaveError(
      'unsupported',
      `cannot put ${manifest.config.digest} into ${title}: its layer ${foreign.digest} is not distributable`,
      {
        hint: 'Use oci-archive, which leaves such layers out.',
      },
    )
  }
  return { Config: blobName(manifest.config.digest), Layers: manifest.layers.map((layer) => blobName(layer.digest)) }
}

/** The image itself, or that of an index for the platform, among those that are in the archive. */
function imageOf(root: Descriptor, documents: ReadonlyMap<Digest, Uint8Array>, platform: Platform | undefined, title: string): Manifest {
  let descriptor = root
  for (let depth = 0; depth <= limit.indexDepth; depth++) {
    const raw = documents.get(descriptor.digest)
    if (raw === undefined) break
    const document = decodeManifestOrIndex(raw, { mediaType: descriptor.mediaType, title: descriptor.digest })
    if (document.kind === 'manifest') return document.manifest
    const there = document.index.manifests.filter((entry) => documents.has(entry.digest) && !isAttestation(entry))
    const chosen = there.length === 1 ? there[0] : selectPlatform(platform ?? hostPlatform(process.arch), there)
    if (chosen === undefined) break
    descriptor = chosen
  }
  throw new StaveError(
    'platform-mismatch',
    `cannot put ${root.digest} into ${title}: it has no image for the platform that Docker would load`,
    {
      hint: 'Name one with --platform, or use oci-archive.',
    },
  )
}

function taggedName(name: string): { name: string; repository: string; tag: string } | undefined {
  if (name === '' || canonical(name) === undefined) return undefined
  const { digest: _, ...reference } = parseReference(name)
  if (reference.tag === undefined) return undefined
  const { tag, ...repository } = reference
  return { name: familiarName(reference), repository: familiarName(repository), tag }
}
