import type { Context } from '#context.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Target } from '#image/content.ts'
import type { Image } from '#image/image.ts'
import type { LayerForm, LayerResult, MadeTree, Place } from '#runner/protocol.ts'
import type { Runner } from '#runner/runner.ts'

/**
 * The local store: blobs, names, snapshots, cache records and containers below one directory, shared safely by
 * any number of processes. Killing any of them at any instant leaves a store in which all that is visible is whole.
 */
export interface Store extends Target {
  readonly root: string
  /** The open root directory: `{ fd: directory, path: 'blobs/…' }` is a Place. */
  readonly directory: number
  readonly runner: Runner
  readonly blobs: Blobs
  readonly names: Names
  readonly snapshots: Snapshots
  readonly cache: CacheRecords
  readonly leases: Leases
}

export interface Blobs {
  /** The file of a blob: `blobs/sha256/<hex>`, whether or not it is there. */
  place(digest: Digest): Place
  path(digest: Digest): string
  has(digest: Digest, size?: number): Promise<boolean>
  /** Stores small content (a manifest, a config). */
  put(bytes: Uint8Array): Promise<{ digest: Digest; size: number }>
  read(digest: Digest, maxBytes: number): Promise<Uint8Array>
  /** A fresh place for a file that the runner will create; {@link adopt} or {@link discard} it afterwards. */
  temporary(): Promise<Place & { readonly path: string }>
  /** Makes a file that the runner has written and digested a blob, atomically. */
  adopt(temporary: Place, digest: Digest, size: number): Promise<void>
  discard(temporary: Place): Promise<void>
}

/** A named image or artifact. `name` is a normalised reference (`docker.io/library/debian:12`). */
export interface NameRecord {
  readonly name: string
  readonly descriptor: Descriptor
  readonly createdAt: Date
}

export interface Names {
  get(name: string): NameRecord | undefined
  set(name: string, descriptor: Descriptor): void
  delete(name: string): boolean
  list(): readonly NameRecord[]
}

/** A layer's tree on top of others: `snapshots/<id>/fs`. Whether it is a directory or mounted is for the runner to see. */
export interface Snapshot {
  readonly id: string
  /** The tree, for the runner. */
  readonly place: Place
}

export interface Snapshots {
  /**
   * The layer trees of an image, bottom first, unpacked where missing (in parallel; two processes never do the
   * same one twice). Missing blobs are an error `blob-unknown`.
   */
  ensure(cx: Context, image: Image): Promise<readonly Snapshot[]>
  /** Of the chain of these diffIDs, the snapshot of the topmost layer, if unpacked. */
  get(chain: readonly Digest[]): Snapshot | undefined
  /** These snapshots by their ids, if all of them are there and this machine can use them as they are. */
  find(ids: readonly string[]): readonly Snapshot[] | undefined
  /** A fresh directory that will become a snapshot: `fs` and `work` can be made in it. `form` is what a layer should become there. */
  create(): Promise<{ readonly id: string; readonly place: Place; readonly form: LayerForm }>
  /**
   * Publishes a directory from {@link create} as the tree of the top of `chain`. If another was faster, that one. `made` is
   * what the runner says of it; default: a tree.
   */
  commit(id: string, chain: readonly Digest[], made?: MadeTree): Promise<Snapshot>
  discard(id: string): Promise<void>
}

/** What a build step left: found again by its key. */
export interface CacheRecord {
  readonly key: Digest
  /** Key of the operation alone, without its inputs: finds the nearest earlier record of a miss. */
  readonly opKey: Digest
  readonly layer:
    | (LayerResult & { readonly mediaType: string; /** RFC 3339: when the layer was made. */ readonly madeAt?: string })
    | undefined
  /** JSON pre-image of the key. */
  readonly explanation: string
  readonly createdAt: Date
  readonly usedAt: Date
}

export interface CacheRecords {
  get(key: Digest): CacheRecord | undefined
  put(record: Omit<CacheRecord, 'createdAt' | 'usedAt'>): void
  /** Newest first. */
  byOperation(opKey: Digest): readonly CacheRecord[]
  list(): readonly CacheRecord[]
  delete(key: Digest): void
}

/** Keeps what a running process uses from being pruned. Bound to this process (pid and start time). */
export interface Leases {
  hold(kind: 'blob' | 'snapshot', id: string): Disposable
  /** Has another process that still lives been at work in the store by then (milliseconds since 1970)? */
  isShared(since: number): boolean
}
