import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Image } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Store } from '#store/store.ts'
import { digestOf } from '#oci/digest.ts'
import { canonical, keyVersion } from '../plan/key.ts'

/**
 * What a build has found in a registry under a name, for a platform. The next build need not ask again: manifest and config
 * are in the store, if they were not pruned, and layers come when they are needed.
 */
export interface Pin {
  /** What the name stands for in the registry: an index, or the image itself. */
  readonly root: Descriptor
  readonly descriptor: Descriptor
  readonly config: Descriptor
  /** All of it was in the store, so it got its name there. If it has it no more, somebody has removed it. */
  readonly isNamed: boolean
}

export function pinKey(location: string, platform: Platform): Digest {
  return digestOf(canonical({ version: keyVersion, base: location, platform }))
}

export function readPin(store: Store, key: Digest): Pin | undefined {
  const record = store.cache.get(key)
  if (record === undefined) return undefined
  const { root, ...pin } = JSON.parse(record.explanation) as Omit<Pin, 'root'> & { root?: Descriptor }
  // Those of earlier releases do not say what the name stands for.
  return root === undefined ? undefined : { root, ...pin }
}

export function writePin(store: Store, key: Digest, pin: Pin): void {
  store.cache.put({ key, opKey: key, layer: undefined, explanation: JSON.stringify(pin) })
}

/**
 * Names in the store the base images that a build has brought there whole: they are seen and removed like those that were
 * pulled. The others stay without a name, since most of them is not there.
 */
export async function nameWhole(cx: Context, store: Store, key: Digest, name: string, image: Image): Promise<void> {
  const pin = readPin(store, key)
  if (pin === undefined) return
  const isHere = image.manifest.layers.every((layer) => store.file?.(layer) !== undefined)
  if (!isHere) return
  if (store.names.get(name)?.descriptor.digest !== pin.root.digest) await store.name(cx, pin.root, name)
  if (!pin.isNamed) writePin(store, key, { ...pin, isNamed: true })
}

/** The store, and behind it the place from which what it lacks can be had: opened only when something is. */
export function readThrough(store: Store, title: string, origin: Source | (() => Promise<Source>)): Source {
  let opened = typeof origin === 'function' ? undefined : origin
  const has = (what: Descriptor): boolean => store.file?.(what) !== undefined
  const source: Source = {
    title,
    resolve: (cx, name) => store.resolve(cx, name),
    async open(cx, what, from) {
      if (has(what)) return store.open(cx, what, from)
      opened ??= await (origin as () => Promise<Source>)()
      return opened.open(cx, what, from)
    },
    origin: (what) => (has(what) ? store : (opened ?? source)),
    file: (what) => store.file?.(what),
    async [Symbol.asyncDispose]() {
      // It belongs to those who opened the two places.
    },
  }
  return source
}
