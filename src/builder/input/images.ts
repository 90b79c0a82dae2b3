import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Image, Layer } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { OpenSource } from '#places/places.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { ImageNeed } from '../plan/planner.ts'
import { hasCode, placed, StaveError } from '#error.ts'
import { openImage, openNearest, view } from '#image/image.ts'
import { forEachBounded } from '#image/pool.ts'
import { readAll } from '#image/read.ts'
import { withStep } from '#image/step.ts'
import * as limit from '#limit.ts'
import type { Digest } from '#oci/digest.ts'
import { formatPlatform } from '#oci/platform.ts'
import { formatReference, isImageId, parseReference } from '#oci/reference.ts'
import { isLocalPlace } from '#places/location.ts'
import { nameWhole, pinKey, readPin, readThrough, writePin, type Pin } from './pins.ts'

/** A base image: its manifest and config are at hand, its layers come when they are needed. */
export interface BaseImage {
  /** Its full name; the id of an image that has none. */
  readonly reference: string
  /** The one that was asked for. */
  readonly platform: Platform
  readonly image: Image
  /** Where what the store lacks comes from. Absent: the store has all. */
  readonly origin: (() => Promise<Source>) | undefined
}

export interface Images {
  resolve(cx: Context, need: ImageNeed): Promise<BaseImage>
  /** Brings those layers into the store that it lacks. */
  fetch(cx: Context, base: BaseImage, layers: readonly Layer[]): Promise<void>
  /** Names those in the store that came from registries and are there whole by now, so that they are seen and can be removed. */
  keep(cx: Context, bases: Iterable<BaseImage>): Promise<void>
}

/** Most layers that are fetched at a time. */
const transfers = 4

/**
 * The images of a build. What the store has under a name is used, and what an earlier build found under it in a registry,
 * unless `pull` says otherwise. Without `pull`, `noCache` has those looked up again that a build has found in a registry.
 */
export function createImages(options: Pick<BuildOptions, 'store' | 'places' | 'pull' | 'noCache'>): Images {
  const finding: Finding = { ...options, sources: new Map(), fetching: new Map() }
  const { store } = options
  return {
    async resolve(cx, need) {
      try {
        return await find(cx, finding, need)
      } catch (error) {
        throw placed(error, need.span)
      }
    },
    async keep(cx, bases) {
      for (const { reference, platform, image } of bases) await nameWhole(cx, store, pinKey(reference, platform), reference, image)
    },
    fetch: (cx, base, layers) => fetchMissing(cx, finding, base, layers),
  }
}

interface Finding extends Pick<BuildOptions, 'store' | 'places' | 'pull' | 'noCache'> {
  readonly sources: Map<string, Promise<OpenSource>>
  /** Layers that are on their way, or came. */
  readonly fetching: Map<Digest, Promise<void>>
}

function openOnce(cx: Context, { places, sources }: Finding, location: string): Promise<OpenSource> {
  let opened = sources.get(location)
  if (opened === undefined) {
    opened = places.source(cx, isLocalPlace(location) ? location : `docker://${location}`)
    sources.set(location, opened)
  }
  return opened
}

/** What is here already: in the store under its name, or found in a registry by an earlier build. */
async function local(cx: Context, finding: Finding, name: string, need: ImageNeed): Promise<BaseImage | undefined> {
  const { store } = finding
  const found =
    (await fromStore(cx, store, name, need)) ?? (isShortId(need.reference) ? await fromStore(cx, store, need.reference, need) : undefined)
  if (found !== undefined) return { reference: name, platform: need.platform, image: found, origin: undefined }
  const pin = readPin(store, pinKey(name, need.platform))
  // It had a name, and somebody has removed it.
  if (pin === undefined || (pin.isNamed && store.names.get(name) === undefined)) return undefined
  return fromPin(cx, store, pin, { reference: name, platform: need.platform }, () => openOnce(cx, finding, name))
}

/** Was it a registry that gave the store what it has under this name? */
function isFromRegistry({ store }: Finding, name: string, need: ImageNeed): boolean {
  const pin = readPin(store, pinKey(name, need.platform))
  const named = store.names.get(name)
  return pin !== undefined && (named === undefined || named.descriptor.digest === pin.root.digest)
}

async function lookUp(cx: Context, finding: Finding, location: string, need: ImageNeed): Promise<BaseImage> {
  const { store } = finding
  const { source, name } = await openOnce(cx, finding, location)
  const root = await source.resolve(cx, name)
  // Once read it is kept: by the name of the index other platforms are found as well.
  if (!isLocalPlace(location)) await store.blobs.put(await readAll(cx, source, root, limit.manifestBytes))
  const image = await openNearest(cx, readThrough(store, source.title, source), root, need.platform)
  if (!isLocalPlace(location)) {
    await store.blobs.put(image.raw)
    await store.blobs.put(await image.rawConfig(cx))
    const { descriptor, manifest } = image
    writePin(store, pinKey(location, need.platform), { root, descriptor, config: manifest.config, isNamed: false })
  }
  return { reference: location, platform: need.platform, image, origin: async () => source }
}

async function find(cx: Context, finding: Finding, need: ImageNeed): Promise<BaseImage> {
  const { store, pull = 'missing' } = finding
  if (isImageId(need.reference)) return ofId(cx, store, need)
  const name = nameOf(need)
  if (name === undefined) return lookUp(cx, finding, need.reference, need)
  const isFresh =
    pull === 'always' || pull === 'newer' || (finding.pull === undefined && finding.noCache === true && isFromRegistry(finding, name, need))
  const found = isFresh ? undefined : await local(cx, finding, name, need)
  if (found !== undefined) return found
  if (pull === 'never') {
    throw new StaveError('not-found', `cannot use ${need.reference} (${formatPlatform(need.platform)}): the store does not have it`, {
      hint: 'Without --pull=never it would be looked for in its registry.',
    })
  }
  try {
    return await lookUp(cx, finding, name, need)
  } catch (error) {
    const other = isFresh && pull !== 'always' && !cx.signal.aborted ? await local(cx, finding, name, need) : undefined
    if (other === undefined) throw error
    cx.report({
      type: 'warning',
      message: `cannot look for a newer ${need.reference}: the one in the store is used`,
      hint: (error as Error).message,
    })
    return other
  }
}

async function fetchMissing(cx: Context, { store, fetching }: Finding, base: BaseImage, layers: readonly Layer[]): Promise<void> {
  const missing: Descriptor[] = []
  for (const { descriptor } of layers) if (!(await store.blobs.has(descriptor.digest, descriptor.size))) missing.push(descriptor)
  if (missing.length === 0) return
  if (base.origin === undefined) {
    throw new StaveError('blob-unknown', `cannot use ${base.reference}: the store lacks its layer ${missing[0]?.digest}`, {
      hint: `Pull it again: stave pull ${base.reference}`,
    })
  }
  const source = await base.origin()
  await forEachBounded(missing, transfers, async (descriptor) => {
    let done = fetching.get(descriptor.digest)
    if (done === undefined) {
      done = fetchLayer(cx, store, source, descriptor, base.reference)
      fetching.set(descriptor.digest, done)
    }
    await done
  })
}

/** As `stave images` shows ids. What is shorter is a name: `cafe` is none of an image that happens to begin so. */
function isShortId(text: string): boolean {
  return /^[0-9a-f]{12,63}$/.test(text)
}

/** The full name, or nothing for what is no image reference (`oci:dir:tag`). */
function nameOf(need: ImageNeed): string | undefined {
  if (isLocalPlace(need.reference)) return undefined
  return formatReference(parseReference(need.reference.replace(/^docker:\/\//, '')))
}

async function fromStore(cx: Context, store: Store, name: string, need: ImageNeed): Promise<Image | undefined> {
  try {
    return await openNearest(cx, store, await store.resolve(cx, name), need.platform)
  } catch (error) {
    // It is there for another platform, or only in part: its registry may have the rest.
    if (hasCode(error, 'not-found', 'platform-mismatch', 'blob-unknown')) return undefined
    throw error
  }
}

/** An image by its id, which no registry knows. */
async function ofId(cx: Context, store: Store, need: ImageNeed): Promise<BaseImage> {
  const root = await store.resolve(cx, need.reference)
  const image = await openNearest(cx, store, root, need.platform)
  const named = store.names.list().find(({ descriptor }) => descriptor.digest === root.digest)
  return { reference: named?.name ?? image.manifest.config.digest, platform: need.platform, image, origin: undefined }
}

async function fromPin(
  cx: Context,
  store: Store,
  { descriptor, config }: Pin,
  named: Pick<BaseImage, 'reference' | 'platform'>,
  open: () => Promise<{ source: Source }>,
): Promise<BaseImage | undefined> {
  if (!(await store.blobs.has(descriptor.digest, descriptor.size)) || !(await store.blobs.has(config.digest, config.size))) return undefined
  const origin = async (): Promise<Source> => (await open()).source
  const image = await openImage(cx, store, descriptor)
  return { ...named, image: view(readThrough(store, 'the cache', origin), image.descriptor, image.manifest, image.raw), origin }
}

async function fetchLayer(cx: Context, store: Store, source: Source, descriptor: Descriptor, reference: string): Promise<void> {
  if (await store.adopt?.(cx, descriptor, source)) return
  const step = { id: `fetch ${descriptor.digest}`, title: `fetching ${reference} ${descriptor.digest.slice(0, 19)}` }
  await withStep(cx, step, async () => {
    const bytes = await source.open(cx, descriptor)
    let current = 0
    const counted = (async function* () {
      for await (const chunk of bytes) {
        current += chunk.length
        cx.report({ type: 'status', id: step.id, current, total: descriptor.size, unit: 'bytes' })
        yield chunk
      }
    })()
    await store.write(cx, descriptor, bytes.verifies === undefined ? counted : Object.assign(counted, { verifies: bytes.verifies }))
  })
}
