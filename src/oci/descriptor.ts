import * as limit from '#limit.ts'
import { array, below, digest, invalid, object, record, size, string, withDefault, type Decoder } from './decode.ts'
import type { Digest } from './digest.ts'

/** @see image-spec, "Image Index", `platform` */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
}

/** Media type, digest, size: the only way to name content. @see image-spec, "Content Descriptors" */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
  readonly urls?: readonly string[]
  /** The content itself, base64. */
  readonly data?: string
}

const section = 'image-spec, "Content Descriptors"'

const platform: Decoder<Platform> = object(
  { os: withDefault(string, ''), architecture: withDefault(string, '') },
  { variant: string, 'os.version': string, 'os.features': array(string, limit.descriptorEntries) },
)

export const annotations: Decoder<Readonly<Record<string, string>>> = record(string)

export const descriptor: Decoder<Descriptor> = (value, at) => {
  const decoded = descriptorFields(value, { ...at, section })
  // It becomes a field of a request, and is shown: what no media type has in it is not let in.
  if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(decoded.mediaType) || decoded.mediaType.length > limit.mediaTypeLength)
    throw invalid(below({ ...at, section }, 'mediaType'), 'a media type', decoded.mediaType)
  return decoded
}

const descriptorFields = object(
  { mediaType: string, digest, size },
  { platform, annotations, artifactType: string, urls: array(string, limit.descriptorEntries), data: string },
)

/**
 * Decodes a descriptor from JSON that is parsed already.
 *
 * @throws StaveError `invalid-document`
 */
export function decodeDescriptor(value: unknown, document = 'a descriptor'): Descriptor {
  return descriptor(value, { document, section, path: '' })
}
