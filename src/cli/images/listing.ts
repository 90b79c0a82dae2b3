import type { Context } from '#context.ts'
import { hasCode } from '#error.ts'
import { openImage, readManifest, type Image } from '#image/image.ts'
import type { ImageConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import { familiarName, parseReference } from '#oci/reference.ts'
import type { LocalStore } from '#store/open.ts'
import type { NameRecord } from '#store/store.ts'

/** A row of `stave images`. */
export interface ImageRow {
  readonly record: NameRecord
  readonly repository: string
  readonly tag: string
  /** `sha256:…` of the config. */
  readonly id: string
  readonly image: Image | undefined
  readonly config: ImageConfig | undefined
  /** Bytes of config and layers, compressed as they are. */
  readonly size: number
  readonly created: Date | undefined
}

/** One row a name, and one for each image that has none. */
export async function listImages(cx: Context, store: LocalStore, platform: Platform): Promise<ImageRow[]> {
  const rows = await Promise.all(store.names.list().map((record) => rowOf(cx, store, record, platform)))
  // An image is also kept under its digest, from when it had no name: that is no second image.
  const named = new Set(rows.filter((row) => !isNameless(row)).map(({ id }) => id))
  return rows.filter((row) => !isNameless(row) || !named.has(row.id))
}

/** Is it kept under its digest alone? */
export function isNameless({ record }: ImageRow): boolean {
  return isBareDigest(record.name)
}

function isBareDigest(name: string): boolean {
  return /^sha(256|512):/.test(name)
}

async function rowOf(cx: Context, store: LocalStore, record: NameRecord, platform: Platform): Promise<ImageRow> {
  const reference = isBareDigest(record.name) ? undefined : parseReference(record.name)
  const repository = reference === undefined ? '<none>' : shortRepository(record.name)
  const row = { record, repository, tag: reference?.tag ?? '<none>' }
  try {
    const image = await openImage(cx, store, record.descriptor, platform)
    const config = await image.config(cx)
    const size = image.manifest.config.size + image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
    return {
      ...row,
      id: image.manifest.config.digest,
      image,
      config,
      size,
      created: config.created === undefined ? undefined : new Date(config.created),
    }
  } catch (error) {
    // An artifact, or an index without this platform: listed all the same, under its own digest.
    if (!hasCode(error, 'unsupported', 'platform-mismatch', 'blob-unknown', 'invalid-document')) throw error
    const document = await readManifest(cx, store, record.descriptor).catch(() => undefined)
    const size =
      document?.kind === 'manifest' ? document.manifest.layers.reduce((sum, layer) => sum + layer.size, 0) : record.descriptor.size
    return { ...row, id: record.descriptor.digest, image: undefined, config: undefined, size, created: undefined }
  }
}

/** As Docker shows it: without the default registry and `library/`, and without tag and digest. */
export function shortRepository(name: string): string {
  const { registry, repository } = parseReference(name)
  return familiarName({ registry, repository }).replace(/:latest$/, '')
}
