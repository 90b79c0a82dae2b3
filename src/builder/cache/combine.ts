import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Source } from '#image/content.ts'
import type { Layer } from '#image/image.ts'
import { forEachBounded } from '#image/pool.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { keyVersion } from '../plan/key.ts'
import type { RemoteCache } from '../remote.ts'
import { checked } from './checked-layer.ts'
import { fetchMount } from './remote-mounts.ts'

/** What a cache says, in the config of its image. */
export interface CacheDocument {
  readonly version: typeof keyVersion
  readonly records: readonly {
    readonly key: Digest
    readonly created: string
    /** Absent: the step changed nothing. */
    readonly layer?: {
      readonly digest: Digest
      readonly diffID: Digest
      readonly treeDigest: string
    }
  }[]
  /** Digests of what steps copy from each other, so that the trees need not be looked at. */
  readonly selections: Readonly<Record<string, Digest>>
}

export interface OpenCache {
  readonly title: string
  readonly source: Source
  readonly document: CacheDocument
  readonly layers: ReadonlyMap<Digest, Descriptor>
  /** What is in cache mounts, by name. */
  readonly mounts: ReadonlyMap<string, Layer>
}

/** Most layers that are fetched at a time. */
const transfers = 4

/** What is known of the caches of a build, and of what came of them. */
interface Combined {
  readonly store: Store
  readonly since: number
  readonly caches: readonly OpenCache[]
  readonly byKey: ReadonlyMap<Digest, { readonly cache: OpenCache; readonly record: CacheDocument['records'][number] }>
  /** Layers that were found, and are to be had from a cache. */
  readonly offered: Map<Digest, { readonly cache: OpenCache; readonly descriptor: Descriptor; readonly diffID: Digest }>
  /** Layers that were not what the cache said, and are not asked for again. */
  readonly refused: Set<Digest>
  readonly faults: WeakSet<object>
}

/** Makes one cache of several: of what two of them have, the first one's counts. */
export function combine({ store, cacheSince = 0 }: Pick<BuildOptions, 'store' | 'cacheSince'>, caches: readonly OpenCache[]): RemoteCache {
  const lastFirst = caches.toReversed()
  const bySelection = new Map(lastFirst.flatMap(({ document }) => Object.entries(document.selections)))
  const combined: Combined = {
    store,
    since: cacheSince,
    caches,
    byKey: new Map(lastFirst.flatMap((cache) => cache.document.records.map((record) => [record.key, { cache, record }]))),
    offered: new Map(),
    refused: new Set(),
    faults: new WeakSet(),
  }
  return {
    find: ({ key }) => find(combined, key),
    selection: (key) => bySelection.get(key),
    fetch: (cx, layers) => fetchOffered(cx, combined, layers),
    source: (digest) => sourceOf(combined, digest),
    mount(cx, name) {
      const found = findMount(combined, name)
      return found === undefined ? undefined : async () => fetchMount(cx, store, found.cache.source, found.layer)
    },
    mountLayer(name) {
      const found = findMount(combined, name)
      return found === undefined ? undefined : { ...found.layer, source: found.cache.source }
    },
    blame(layers, error) {
      const said = layers.filter(({ descriptor }) => combined.offered.has(descriptor.digest))
      if (said.length > 0 && error instanceof StaveError && (error.code === 'invalid-layer' || error.code === 'digest-mismatch'))
        said.forEach(({ descriptor }) => blame(combined, descriptor.digest, error))
      return error
    },
    isAtFault: (error) => isAtFault(combined, error),
  }
}

function find({ byKey, since, refused, offered }: Combined, key: Digest): ReturnType<RemoteCache['find']> {
  const found = byKey.get(key)
  if (found === undefined || Date.parse(found.record.created) < since) return undefined
  const { cache, record } = found
  if (record.layer === undefined) return { layer: undefined }
  const { digest, diffID, treeDigest } = record.layer
  if (refused.has(digest)) return undefined
  const descriptor = cache.layers.get(digest)
  if (descriptor === undefined) return { promise: { digest, diffID, treeDigest, created: record.created } }
  offered.set(digest, { cache, descriptor, diffID })
  const { size, mediaType } = descriptor
  // Not kept as a record of this store: what a cache says counts for the builds that name it.
  const createdAt = new Date(record.created)
  return { layer: { descriptor: { mediaType, digest, size }, diffId: diffID, treeDigest, createdAt, foreign: true } }
}

function findMount({ caches }: Combined, name: string): { readonly cache: OpenCache; readonly layer: Layer } | undefined {
  for (const cache of caches) {
    const layer = cache.mounts.get(name)
    if (layer !== undefined) return { cache, layer }
  }
  return undefined
}

async function fetchOffered(cx: Context, combined: Combined, layers: readonly Layer[]): Promise<void> {
  const { store, offered } = combined
  const missing: Descriptor[] = []
  for (const { descriptor } of layers)
    if (offered.has(descriptor.digest) && !(await store.blobs.has(descriptor.digest, descriptor.size))) missing.push(descriptor)
  await forEachBounded(missing, transfers, async (descriptor) => {
    const source = sourceOf(combined, descriptor.digest) as Source
    await store.write(cx, descriptor, await source.open(cx, descriptor))
  })
}

function sourceOf(combined: Combined, digest: Digest): Source | undefined {
  const offer = combined.offered.get(digest)
  if (offer === undefined) return undefined
  const { source } = offer.cache
  return {
    title: source.title,
    // The same function: by it a registry knows its own repositories, and takes layers over between them.
    // eslint-disable-next-line typescript/unbound-method
    resolve: source.resolve,
    async open(cx, what, from) {
      try {
        return guarded(combined, what, offer.diffID, await source.open(cx, what, from))
      } catch (error) {
        throw blame(combined, what.digest, error)
      }
    },
    async [Symbol.asyncDispose]() {
      // It belongs to who opened it.
    },
  }
}

/** Whatever goes wrong on the way is the fault of the cache, and the layer is not asked for again. */
async function* guarded(combined: Combined, descriptor: Descriptor, diffID: Digest, bytes: Bytes): AsyncGenerator<Uint8Array> {
  try {
    yield* checked(descriptor, diffID, bytes)
  } catch (error) {
    throw blame(combined, descriptor.digest, error)
  }
}

function blame({ refused, faults }: Combined, digest: Digest, error: unknown): unknown {
  refused.add(digest)
  if (typeof error === 'object' && error !== null) faults.add(error)
  return error
}

function isAtFault({ faults }: Combined, error: unknown): boolean {
  for (let cause: unknown = error; typeof cause === 'object' && cause !== null; cause = (cause as Error).cause)
    if (faults.has(cause)) return true
  return false
}
