import type { Context } from '#context.ts'
import type { Image, Layer } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { IgnorePattern, Place, Tree } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { BaseImage } from '../input/images.ts'
import type { Session } from '../session.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { emptyState, foreignState, imageState, nextState } from '../plan/key.ts'

/** A layer that a step made. */
export interface BuiltLayer extends Layer {
  readonly treeDigest: string
  readonly createdAt: Date
  /** A remote cache says that it is what the step makes. Its tree digest is a claim. */
  readonly foreign?: true
}

/** What the records of a remote cache say of a layer, whether the layer is there or not. */
export interface Promised {
  readonly digest: Digest
  readonly diffID: Digest
  readonly treeDigest: string
  /** ISO 8601. */
  readonly created: string
}

/**
 * A file tree that the build has come to. It can be used ({@link trees}) as soon as the step that makes it has
 * ended; its name and its layer may come later, when what the step left has been read and packed.
 */
export interface State {
  readonly kind: 'state'
  readonly parent: State | undefined
  /** At the root of a chain. */
  readonly base: BaseImage | undefined
  readonly id: Promise<Digest>
  /**
   * Its name if remote caches are believed in what their layers do. By this one, and by no other, steps are looked up in
   * them: a cache that lies can spoil what is its own, but not lead to other results of this store.
   */
  readonly claimed: Promise<Digest>
  /**
   * A step before it, or its own, is only promised by a remote cache: to know its `id`, its layers or its trees, steps
   * are executed.
   */
  readonly isPromised: boolean
  /** What a remote cache says of the step's layer without having it. */
  readonly promise?: Promised
  /** Undefined: it changed nothing. Of a base image: always. */
  readonly layer: Promise<BuiltLayer | undefined>
  /** Layer trees for the runner, top first; unpacked if they are not there. */
  trees(): Promise<readonly Place[]>
}

/** A directory to copy from. */
export interface Directory {
  readonly kind: 'directory'
  readonly root: Place
  readonly ignore: readonly IgnorePattern[]
  /** For messages: `the build context`. */
  readonly title: string
  /** The ignore file's name, for messages. */
  readonly ignoreFile: string | undefined
  /** What is copied from it gets no time after this one, in seconds since 1970. */
  readonly latest?: number
}

/** How the layer of a step is written that copies from these inputs: a checkout can bring its own last time along. */
export function withTimesOf<Format extends { readonly epoch?: number }>(format: Format, inputs: readonly Solved[]): Format {
  const times = inputs.flatMap((input) => (input.kind === 'directory' && input.latest !== undefined ? [input.latest] : []))
  return times.length === 0 ? format : { ...format, epoch: Math.min(format.epoch ?? Number.POSITIVE_INFINITY, ...times) }
}

/** A downloaded file. */
export interface Download {
  readonly kind: 'file'
  readonly file: Place
  readonly digest: Digest
  readonly mtime: number | undefined
}

export type Solved = State | Directory | Download

export async function treeOf(solved: State | Directory): Promise<Tree> {
  return solved.kind === 'directory' ? { kind: 'directory', root: solved.root } : { kind: 'lowers', lowers: await solved.trees() }
}

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
      if (fs !== undefined) {
        return [fs, ...(await parent.trees())]
      }
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
    if (layer !== undefined) {
      built.push(layer)
    }
    current = current.parent
  }
  return [...(current.base === undefined ? [] : await current.base.image.layers(cx)), ...built.reverse()]
}

/** The base image at the root of it. */
export function rootOf(state: State): BaseImage | undefined {
  let current = state
  while (current.parent !== undefined) {
    current = current.parent
  }
  return current.base
}

async function unpacked(cx: Context, session: Session, state: State): Promise<readonly Place[]> {
  const layers = await layersOf(cx, state)
  if (layers.length === 0) {
    return []
  }
  const { store } = session
  const base = rootOf(state)
  if (store.snapshots.get(layers.map((layer) => layer.diffId)) === undefined) {
    const own = base === undefined ? [] : await base.image.layers(cx)
    if (base !== undefined) {
      await session.images.fetch(cx, base, own)
    }
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
