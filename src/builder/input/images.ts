import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Image, Layer } from '#image/image.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { ImageNeed } from '../plan/planner.ts'
import { hasCode, placed, StaveError } from '#error.ts'
import { openImage, readManifest, view } from '#image/image.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { formatPlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { canonical, keyVersion } from '../plan/key.ts'
import { isLocalPlace } from '../plan/source-url.ts'

/** A base image: its manifest and config are at hand, its layers come when they are needed. */
export interface BaseImage {
  readonly reference: string
  readonly image: Image
  /** Where what the store lacks comes from. Absent: the store has all. */
  readonly origin: (() => Promise<Source>) | undefined
}

export interface Images {
  resolve(cx: Context, need: ImageNeed): Promise<BaseImage>
  /** Brings those layers into the store that it lacks. */
  fetch(cx: Context, base: BaseImage, layers: readonly Layer[]): Promise<void>
}

/** Most layers that are fetched at a time. */
const transfers = 4

export function createImages(options: Pick<BuildOptions, 'store' | 'places' | 'pull'>): Images {
  const { store, places, pull = 'missing' } = options
  const sources = new Map<string, Promise<{ source: Source; name: string }>>()
  const fetching = new Map<Digest, Promise<void>>()

  function open(cx: Context, location: string): Promise<{ source: Source; name: string }> {
    let opened = sources.get(location)
    if (opened === undefined) {
      opened = places.source(cx, isLocalPlace(location) ? location : `docker://${location}`)
      sources.set(location, opened)
    }
    return opened
  }

  async function resolve(cx: Context, need: ImageNeed): Promise<BaseImage> {
    const named = nameOf(need)
    const location = named ?? need.reference
    const pinKey = digestOf(canonical({ version: keyVersion, base: location, platform: need.platform }))
    if (named !== undefined && (pull === 'missing' || pull === 'never')) {
      const local = (await fromStore(cx, store, named, need)) ?? (await fromPin(cx, store, pinKey, () => open(cx, location)))
      if (local !== undefined) {
        return { reference: location, ...local }
      }
      if (pull === 'never') {
        throw new StaveError('not-found', `cannot use ${need.reference} (${formatPlatform(need.platform)}): the store does not have it`, {
          hint: 'Without --pull=never it would be looked for in its registry.',
        })
      }
    }
    try {
      const { source, name } = await open(cx, location)
      const image = await openFor(cx, source, await source.resolve(cx, name), need)
      await remember(cx, store, pinKey, image)
      return { reference: location, image: throughStore(store, image, source), origin: async () => source }
    } catch (error) {
      if (pull === 'newer' && named !== undefined && !cx.signal.aborted) {
        const local = await fromStore(cx, store, named, need)
        if (local !== undefined) {
          cx.report({
            type: 'warning',
            message: `cannot look for a newer ${need.reference}: the one in the store is used`,
            hint: (error as Error).message,
          })
          return { reference: location, ...local }
        }
      }
      throw error
    }
  }

  return {
    async resolve(cx, need) {
      try {
        return await resolve(cx, need)
      } catch (error) {
        throw placed(error, need.span)
      }
    },
    async fetch(cx, base, layers) {
      const missing: Layer[] = []
      for (const layer of layers) {
        if (!(await store.blobs.has(layer.descriptor.digest, layer.descriptor.size))) {
          missing.push(layer)
        }
      }
      if (missing.length === 0) {
        return
      }
      if (base.origin === undefined) {
        throw new StaveError('blob-unknown', `cannot use ${base.reference}: the store lacks its layer ${missing[0]?.descriptor.digest}`, {
          hint: `Pull it again: stave pull ${base.reference}`,
        })
      }
      const source = await base.origin()
      const queue = [...missing]
      const worker = async (): Promise<void> => {
        for (let layer = queue.shift(); layer !== undefined; layer = queue.shift()) {
          const { descriptor } = layer
          let done = fetching.get(descriptor.digest)
          if (done === undefined) {
            done = fetchLayer(cx, store, source, descriptor, base.reference)
            fetching.set(descriptor.digest, done)
          }
          await done
        }
      }
      await Promise.all(Array.from({ length: Math.min(transfers, missing.length) }, worker))
    },
  }
}

/** The full name, or nothing for what is no image reference (`oci:dir:tag`). */
function nameOf(need: ImageNeed): string | undefined {
  if (isLocalPlace(need.reference)) {
    return undefined
  }
  return formatReference(parseReference(need.reference.replace(/^docker:\/\//, '')))
}

async function openFor(cx: Context, source: Source, descriptor: Descriptor, need: ImageNeed): Promise<Image> {
  try {
    return await openImage(cx, source, descriptor, need.platform)
  } catch (error) {
    // What a single image has will do: the build says so.
    if (!hasCode(error, 'platform-mismatch')) {
      throw error
    }
    const document = await readManifest(cx, source, descriptor)
    if (document.kind === 'index') {
      throw error
    }
    return view(source, document.descriptor, document.manifest, document.raw)
  }
}

async function fromStore(cx: Context, store: Store, name: string, need: ImageNeed): Promise<Omit<BaseImage, 'reference'> | undefined> {
  const record = store.names.get(name)
  try {
    const descriptor = record?.descriptor ?? (name.includes('@') ? await store.resolve(cx, name) : undefined)
    return descriptor === undefined ? undefined : { image: await openFor(cx, store, descriptor, need), origin: undefined }
  } catch (error) {
    // It is there for another platform, or only in part: its registry may have the rest.
    if (hasCode(error, 'not-found', 'platform-mismatch', 'blob-unknown')) {
      return undefined
    }
    throw error
  }
}

/** What an earlier build found under this name. Its manifest and config are in the store, if they were not pruned. */
async function fromPin(
  cx: Context,
  store: Store,
  key: Digest,
  open: () => Promise<{ source: Source }>,
): Promise<Omit<BaseImage, 'reference'> | undefined> {
  const record = store.cache.get(key)
  if (record === undefined) {
    return undefined
  }
  const { descriptor, config } = JSON.parse(record.explanation) as { descriptor: Descriptor; config: Descriptor }
  if (!(await store.blobs.has(descriptor.digest, descriptor.size)) || !(await store.blobs.has(config.digest, config.size))) {
    return undefined
  }
  const origin = async (): Promise<Source> => (await open()).source
  const image = await openImage(cx, store, descriptor)
  return { image: view(readThrough(store, 'the cache', origin), image.descriptor, image.manifest, image.raw), origin }
}

async function remember(cx: Context, store: Store, key: Digest, image: Image): Promise<void> {
  await store.blobs.put(image.raw)
  await store.blobs.put(await image.rawConfig(cx))
  store.cache.put({
    key,
    opKey: key,
    layer: undefined,
    explanation: JSON.stringify({ descriptor: image.descriptor, config: image.manifest.config }),
  })
}

/** The same image, read from the store where it is there. */
function throughStore(store: Store, image: Image, origin: Source): Image {
  return view(readThrough(store, origin.title, origin), image.descriptor, image.manifest, image.raw)
}

/** The store, and behind it the place from which what it lacks can be had: opened only when something is. */
function readThrough(store: Store, title: string, origin: Source | (() => Promise<Source>)): Source {
  let opened = typeof origin === 'function' ? undefined : origin
  const has = (what: Descriptor): boolean => store.file?.(what) !== undefined
  const source: Source = {
    title,
    resolve: (cx, name) => store.resolve(cx, name),
    async open(cx, what, from) {
      if (has(what)) {
        return store.open(cx, what, from)
      }
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

async function fetchLayer(cx: Context, store: Store, source: Source, descriptor: Descriptor, reference: string): Promise<void> {
  if (await store.adopt?.(cx, descriptor, source)) {
    return
  }
  const id = `fetch ${descriptor.digest}`
  const started = performance.now()
  const title = `fetching ${reference} ${descriptor.digest.slice(0, 19)}`
  cx.report({ type: 'step', id, title, state: 'started' })
  try {
    const bytes = await source.open(cx, descriptor)
    let current = 0
    const counted = (async function* () {
      for await (const chunk of bytes) {
        current += chunk.length
        cx.report({ type: 'status', id, current, total: descriptor.size, unit: 'bytes' })
        yield chunk
      }
    })()
    await store.write(cx, descriptor, bytes.verifies === undefined ? counted : Object.assign(counted, { verifies: bytes.verifies }))
  } catch (error) {
    cx.report({ type: 'step', id, title, state: cx.signal.aborted ? 'cancelled' : 'failed', durationMs: performance.now() - started })
    throw error
  }
  cx.report({ type: 'step', id, title, state: 'done', durationMs: performance.now() - started })
}
