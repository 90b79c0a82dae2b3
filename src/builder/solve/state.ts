import type { Context } from '#context.ts'
import type { Image, Layer } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { BaseImage } from '../input/images.ts'
import type { BuiltLayer, Promised, State } from '../solved.ts'
import type { Session } from '../session.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { emptyState, foreignState, imageState, nextState } from '../plan/key.ts'

export const emptyTree: State = {
  kind: 'state',
  parent: undefined,
  base: undefined,
  id: Promise.resolve(emptyState),
  claimed: Promise.resolve(emptyState),
  isPromised: false,
  layer: Promise.resolve(undefined),
  trees: async () => [],
}

export async function baseState(cx: Context, session: Session, base: BaseImage): Promise<State> {
  const layers = await base.image.layers(cx)
  const id = Promise.resolve(imageState(layers.map((layer) => layer.diffId)))
  const state: State = {
    kind: 'state',
    parent: undefined,
    base,
    id,
    claimed: id,
    isPromised: false,
    layer: Promise.resolve(undefined),
    trees: once(() => unpacked(cx, session, state)),
  }
  return state
}

/** A state whose layer is known, from the cache. */
export function cachedState(cx: Context, session: Session, parent: State, layer: BuiltLayer | undefined): State {
  const above = async (): Promise<Digest> => {
    const below = await parent.id
    return layer?.foreign === true ? foreignState(below, layer.diffId) : stateAbove(below, layer)
  }
  const id = parent.isPromised ? once(above) : undefined
  const known = id === undefined ? above() : undefined
  const state: State = {
    kind: 'state',
    parent,
    base: undefined,
    get id() {
      return known ?? (id as () => Promise<Digest>)()
    },
    claimed: parent.claimed.then((below) => stateAbove(below, layer)),
    isPromised: parent.isPromised,
    layer: Promise.resolve(layer),
    trees: layer === undefined ? () => parent.trees() : once(() => unpacked(cx, session, state)),
  }
  return state
}

/** A state that a remote cache knows by name only. The step is executed when somebody looks at what it made, and not before. */
export function promisedState(parent: State, promise: Promised, make: () => Promise<State>): State {
  const made = once(make)
  return {
    kind: 'state',
    parent,
    base: undefined,
    get id() {
      return made().then(({ id }) => id)
    },
    claimed: parent.claimed.then((below) => nextState(below, promise.treeDigest)),
    isPromised: true,
    promise,
    get layer() {
      return made().then(({ layer }) => layer)
    },
    trees: async () => (await made()).trees(),
  }
}

/** A state that a step has just made: `fs` is its upper directory, or undefined where it made none. */
export function madeState(
  cx: Context,
  session: Session,
  parent: State,
  fs: Place | undefined,
  layer: Promise<BuiltLayer | undefined>,
): State {
  const named = async (below: Promise<Digest>): Promise<Digest> => stateAbove(await below, await layer)
  const [id, claimed] = [named(parent.id), named(parent.claimed)]
  // A failure is thrown where the layer is awaited; here nobody may be waiting yet.
  id.catch(() => {})
  claimed.catch(() => {})
  const state: State = {
    kind: 'state',
    parent,
    base: undefined,
    id,
    claimed,
    isPromised: false,
    layer,
    trees: once(async () => {
      if (fs !== undefined) return [fs, ...(await parent.trees())]
      return (await layer) === undefined ? parent.trees() : unpacked(cx, session, state)
    }),
  }
  return state
}

function stateAbove(below: Digest, layer: BuiltLayer | undefined): Digest {
  return layer === undefined ? below : nextState(below, layer.treeDigest)
}

/** All layers of a state, those of the base image first. Waits until they are made. */
export async function layersOf(cx: Context, state: State): Promise<readonly (Layer | BuiltLayer)[]> {
  const built: BuiltLayer[] = []
  let current: State = state
  while (current.parent !== undefined) {
    const layer = await current.layer
    if (layer !== undefined) built.push(layer)
    current = current.parent
  }
  return [...(current.base === undefined ? [] : await current.base.image.layers(cx)), ...built.reverse()]
}

/** The base image at the root of it. */
export function rootOf(state: State): BaseImage | undefined {
  let current = state
  while (current.parent !== undefined) current = current.parent
  return current.base
}

async function unpacked(cx: Context, session: Session, state: State): Promise<readonly Place[]> {
  const layers = await layersOf(cx, state)
  if (layers.length === 0) return []
  const { store } = session
  const base = rootOf(state)
  if (store.snapshots.get(layers.map((layer) => layer.diffId)) === undefined) {
    const own = base === undefined ? [] : await base.image.layers(cx)
    if (base !== undefined) await session.images.fetch(cx, base, own)
    await session.remote?.fetch(cx, layers.slice(own.length))
  }
  const snapshots = await store.snapshots.ensure(cx, stackImage(store, layers)).catch((error: unknown) => {
    throw session.remote?.blame(layers, error) ?? error
  })
  return snapshots.map((snapshot) => snapshot.place).reverse()
}

/** A stack of layers in the store, seen as an image: no manifest of it exists yet. */
export function stackImage(store: Store, layers: readonly Layer[], platform: Platform = { os: 'linux', architecture: 'amd64' }): Image {
  const config = { ...platform, rootfs: { type: 'layers' as const, diff_ids: layers.map((layer) => layer.diffId) } }
  const rawConfig = new TextEncoder().encode(JSON.stringify(config))
  const configDescriptor: Descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(rawConfig), size: rawConfig.length }
  const manifest = {
    schemaVersion: 2 as const,
    mediaType: mediaTypes.ociManifest,
    config: configDescriptor,
    layers: layers.map((layer) => layer.descriptor),
  }
  const raw = new TextEncoder().encode(JSON.stringify(manifest))
  return {
    descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(raw), size: raw.length },
    source: store,
    manifest,
    raw,
    config: async () => config,
    rawConfig: async () => rawConfig,
    layers: async () => layers,
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}
