import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Layer } from '#image/image.ts'
import type { Digest } from '#oci/digest.ts'
import type { Place } from '#runner/protocol.ts'
import type { StepKey } from './plan/key.ts'
import type { BuiltLayer, Promised } from './solved.ts'

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
