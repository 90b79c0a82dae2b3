import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { array, fieldsOf, literal, object, parseJson, string, type Place } from './decode.ts'
import { annotations, descriptor, type Descriptor } from './descriptor.ts'
import { isIndex, isManifest, isSchema1, mediaTypes, normalizeMediaType } from './media-type.ts'

/** An image or artifact manifest, OCI or Docker schema 2. @see image-spec, "Image Manifest" */
export interface Manifest {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

/** An image index or Docker manifest list. @see image-spec, "Image Index" */
export interface Index {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly manifests: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

const manifestSection = 'image-spec, "Image Manifest"'
const indexSection = 'image-spec, "Image Index"'
const descriptorList = array(descriptor, limit.descriptors)

const manifest = object(
  { schemaVersion: literal(2), config: descriptor, layers: descriptorList },
  { mediaType: string, artifactType: string, subject: descriptor, annotations },
)

const index = object(
  { schemaVersion: literal(2), manifests: descriptorList },
  { mediaType: string, artifactType: string, subject: descriptor, annotations },
)

export interface DecodeOptions {
  /** The media type that the descriptor or the `Content-Type` names. Without it, that of the document. */
  readonly mediaType?: string
  /** What it is called in messages: `sha256:…`, `debian:12`. */
  readonly title?: string
}

/**
 * Decodes an image manifest. A document that could also be read as an index, or says another media type than the
 * one it came under, is refused (CVE-2021-41190).
 *
 * @throws StaveError `invalid-document`, `too-large`; `unsupported` for Docker's schema 1
 */
export function decodeManifest(bytes: Uint8Array, options: DecodeOptions = {}): Manifest {
  const document = title('image manifest', options)
  const value = unambiguous(bytes, document, manifestSection, options, isManifest, ['manifests'])
  return manifest(value, { document, section: manifestSection, path: '' })
}

/**
 * Decodes an image index or manifest list, and the `index.json` of an OCI layout.
 *
 * @throws StaveError `invalid-document`, `too-large`; `unsupported` for Docker's schema 1
 */
export function decodeIndex(bytes: Uint8Array, options: DecodeOptions = {}): Index {
  const document = title('image index', options)
  const value = unambiguous(bytes, document, indexSection, options, isIndex, ['layers', 'config'])
  return index(value, { document, section: indexSection, path: '' })
}

export type ManifestOrIndex =
  | { readonly kind: 'manifest'; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly mediaType: string; readonly index: Index }

/** Decodes a document by its media type; one that came without says itself what it is. */
export function decodeManifestOrIndex(bytes: Uint8Array, options: DecodeOptions = {}): ManifestOrIndex {
  const mediaType = options.mediaType === undefined ? sniffMediaType(bytes) : normalizeMediaType(options.mediaType)
  if (isIndex(mediaType)) return { kind: 'index', mediaType, index: decodeIndex(bytes, { ...options, mediaType }) }
  return { kind: 'manifest', mediaType, manifest: decodeManifest(bytes, { ...options, mediaType }) }
}

/**
 * What a manifest or index says that it is; where it does not (OCI leaves `mediaType` optional), what its fields say.
 * For documents that come without a descriptor: from a file, or from a registry that sends a general `Content-Type`.
 */
export function sniffMediaType(bytes: Uint8Array): string {
  const document = 'manifest'
  const fields = fieldsOf(parseJson(bytes, limit.manifestBytes, document), { document, section: manifestSection, path: '' })
  if (typeof fields['mediaType'] === 'string' && fields['mediaType'] !== '') return normalizeMediaType(fields['mediaType'])
  if (fields['schemaVersion'] === 1) return mediaTypes.dockerSchema1Signed
  return fields['manifests'] === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex
}

function title(kind: string, options: DecodeOptions): string {
  return options.title === undefined ? kind : `${kind} ${options.title}`
}

function unambiguous(
  bytes: Uint8Array,
  document: string,
  section: string,
  options: DecodeOptions,
  isExpected: (mediaType: string) => boolean,
  foreignFields: readonly string[],
): unknown {
  const at: Place = { document, section, path: '' }
  const value = parseJson(bytes, limit.manifestBytes, document)
  const fields = fieldsOf(value, at)
  const own = typeof fields['mediaType'] === 'string' && fields['mediaType'] !== '' ? fields['mediaType'] : undefined
  const given = options.mediaType === undefined ? undefined : normalizeMediaType(options.mediaType)

  if (fields['schemaVersion'] === 1 || isSchema1(given ?? own ?? '')) {
    throw new StaveError('unsupported', `cannot read ${document}: it has Docker's schema 1, which was given up in 2015`, {
      hint: 'Convert it with a tool that still reads it (`skopeo copy --format v2s2`), or have it built anew.',
    })
  }
  if (own !== undefined && given !== undefined && own !== given)
    throw new StaveError('invalid-document', `cannot read ${document}: it came as ${given} but says that it is ${own} (CVE-2021-41190)`)
  const mediaType = given ?? own
  if (mediaType !== undefined && !isExpected(mediaType)) {
    throw new StaveError(
      'invalid-document',
      `cannot read ${document}: ${mediaType} is not the media type of an ${document.split(' ', 2).join(' ')}`,
    )
  }
  for (const field of foreignFields) {
    if (fields[field] !== undefined) {
      throw new StaveError(
        'invalid-document',
        `cannot read ${document}: it also has the field \`${field}\` of the other kind (CVE-2021-41190)`,
      )
    }
  }
  return value
}
