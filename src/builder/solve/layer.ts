import type { LayerOutput, LayerResult, Place } from '#runner/protocol.ts'
import type { CacheRecord, Store } from '#store/store.ts'
import type { BuiltLayer } from '../solved.ts'
import { parseDigest } from '#oci/digest.ts'
import { layerMediaType } from '#oci/media-type.ts'

/** A layer that was made just now, with all that the runner says of it. */
export interface MadeLayer extends BuiltLayer {
  readonly result: LayerResult
}

/** Makes the file that the runner wrote a blob of the store. */
export async function keepLayer(store: Store, blob: Place, result: LayerResult, output: Omit<LayerOutput, 'blob'>): Promise<MadeLayer> {
  const digest = parseDigest(result.digest)
  await store.blobs.adopt(blob, digest, result.size)
  return {
    descriptor: { mediaType: layerMediaType(output.compression) as string, digest, size: result.size },
    diffId: parseDigest(result.diffID),
    treeDigest: result.treeDigest,
    createdAt: new Date(),
    result,
  }
}

/** The layer of a cache record, if the store still has it. */
export async function recordedLayer(store: Store, layer: NonNullable<CacheRecord['layer']>): Promise<BuiltLayer | undefined> {
  const digest = parseDigest(layer.digest)
  if (!(await store.blobs.has(digest, layer.size))) return undefined
  return {
    descriptor: { mediaType: layer.mediaType, digest, size: layer.size },
    diffId: parseDigest(layer.diffID),
    treeDigest: layer.treeDigest,
    createdAt: new Date(layer.madeAt ?? 0),
  }
}

/** As it is kept in a cache record. */
export function asRecord(layer: MadeLayer): NonNullable<CacheRecord['layer']> {
  return { ...layer.result, mediaType: layer.descriptor.mediaType, madeAt: layer.createdAt.toISOString() }
}
