import type { Dependency } from '#attest/provenance.ts'
import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Layer } from '#image/image.ts'
import type { Digest } from '#oci/digest.ts'
import type { LayerOutput, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Contexts } from './input/context.ts'
import type { Digests } from './input/digests.ts'
import type { Images } from './input/images.ts'
import type { LayerFormat, StepKey } from './plan/key.ts'
import type { Logs } from './record/log.ts'
import type { BuildOptions, StepRecord } from './options.ts'
import type { Secrets } from './input/secrets.ts'
import type { Slots } from './solve/slots.ts'
import type { BuiltLayer, Promised } from './solve/state.ts'

/** What other machines have built, looked up by key. */
export interface RemoteCache {
  /** A promise: what the step makes is known by name, and not there. */
  find(key: StepKey): { readonly layer: BuiltLayer | undefined } | { readonly promise: Promised } | undefined
  /** The digest of a selection, by {@link selectionKey}. */
  selection(key: Digest): Digest | undefined
  /** Brings layers into the store that only it has. */
  fetch(cx: Context, layers: readonly Layer[]): Promise<void>
  /** Where a layer can be had that is not in the store. */
  source(digest: Digest): Source | undefined
  /** How to get the tar of a cache mount, by its name; undefined if none has it. What goes wrong then is a warning. */
  mount(cx: Context, name: string): (() => Promise<Place | undefined>) | undefined
  /** The layer that a cache mount is in, to be taken over into another cache. */
  mountLayer(name: string): (Layer & { readonly source: Source }) | undefined
  /** Where one of these layers is no tar, or not the one that it was said to be, that is the fault of the cache which it is from. */
  blame(layers: readonly Layer[], error: unknown): unknown
  /** After an error: was it the fault of this cache? Then what it was about is not offered again. */
  isAtFault(error: unknown): boolean
}

/** What all steps of one build share. */
export interface Session {
  readonly id: string
  readonly options: BuildOptions
  readonly store: Store
  readonly images: Images
  readonly contexts: Contexts
  readonly digests: Digests
  readonly secrets: Secrets
  readonly logs: Logs
  readonly slots: Slots
  readonly remote: RemoteCache | undefined
  /** How layers are written, as far as it counts for keys. */
  readonly format: LayerFormat
  /** The same, for the runner. */
  readonly output: Omit<LayerOutput, 'blob'>
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** What ADD has downloaded, by the id of its step: for provenance. */
  readonly materials: Map<string, Dependency>
  /** What is to be done when all is over. */
  readonly disposals: (() => Promise<void>)[]
  /** What has become of the steps so far. */
  readonly records: StepRecord[]
  /** Key and pre-image of each step that has one, by id. */
  readonly keys: Map<string, StepKey>
  /** Why steps were not in the cache, by id. */
  readonly because: Map<string, readonly string[]>
  /** Pre-images of the last build of this project, by id of the step; for `explain`. */
  readonly last: Readonly<Record<string, string>>
  /** Of this machine: `amd64`. */
  readonly architecture: string
}
