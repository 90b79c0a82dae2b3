import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Source } from '#image/content.ts'
import { openImage, readManifest } from '#image/image.ts'
import { changedIndex, emptyIndex, entriesOf, type Entries, type IndexChange } from '#image/index-edit.ts'
import { transfer } from '#image/transfer.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { parseDigest, type Digest } from '#oci/digest.ts'
import { isIndex } from '#oci/media-type.ts'
import { hostPlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { normalizeName, type LocalStore } from '#store/open.ts'
import { keyValues } from '../key-values.ts'
import { parseLocation, type Location } from '#places/location.ts'
import type { Places } from '#places/places.ts'

/**
 * Where an entry of a list is to be had from, kept with it in the store until it is pushed: lists are made without the
 * images being brought here.
 */
const placeAnnotation = 'stave.place'

/** A list of images in the store, as docker and podman keep them. */
export interface ManifestList {
  readonly name: string
  readonly raw: Uint8Array
  readonly descriptor: Descriptor
  readonly entries: readonly Descriptor[]
}

/** What is said of an entry: `--arch`, `--os` and the like. */
export interface EntryChange {
  readonly platform: Partial<Platform>
  readonly annotations: readonly string[]
}

/** @throws StaveError `not-found`, `usage` if the name is that of an image */
export async function openList(cx: Context, store: LocalStore, text: string): Promise<ManifestList> {
  const name = normalizeName(text)
  const record = store.names.get(name)
  if (record === undefined)
    throw new StaveError('not-found', `cannot find the list ${text} in the store`, { hint: `stave manifest create ${text} makes it.` })
  const document = await readManifest(cx, store, record.descriptor)
  if (document.kind !== 'index') throw new StaveError('usage', `cannot use ${text} as a list: it is an image`)
  return { name, raw: document.raw, descriptor: document.descriptor, entries: document.index.manifests }
}

/** Makes a list without entries. @throws StaveError `conflict` */
export async function createList(cx: Context, store: LocalStore, text: string, mayExist: boolean): Promise<ManifestList> {
  const name = normalizeName(text)
  if (store.names.get(name) !== undefined) {
    if (mayExist) return openList(cx, store, text)
    throw new StaveError('conflict', `cannot make the list ${text}: the store has something of that name`, {
      hint: 'With --amend the images are added to it.',
    })
  }
  const { raw, mediaType } = emptyIndex('oci')
  return save(cx, store, { name, raw, descriptor: { mediaType, digest: '' as Digest, size: 0 }, entries: [] }, {})
}

/** Writes what a change makes of a list, under its name. */
export async function save(cx: Context, store: LocalStore, list: ManifestList, change: IndexChange): Promise<ManifestList> {
  const made = changedIndex(undefined, list.raw, list.descriptor, list.entries, new Map(), change)
  await store.write(cx, made.descriptor, await made.source.open(cx, made.descriptor))
  await store.name(cx, made.descriptor, list.name)
  return openList(cx, store, list.name)
}

/** What an image brings to a list: itself, or of an index the image for this machine, or all of them. */
export async function imageEntries(cx: Context, store: LocalStore, places: Places, text: string, isAll: boolean): Promise<Entries> {
  const { source, name, place } = await locate(cx, store, places, text)
  const root = await source.resolve(cx, name)
  const chosen = isIndex(root.mediaType) && !isAll ? (await openImage(cx, source, root, hostPlatform(process.arch))).descriptor : root
  const { descriptors, owners } = await entriesOf(cx, source, chosen)
  if (place === undefined) return { descriptors, owners }
  const marked = descriptors.map((entry) => ({
    ...entry,
    annotations: { ...entry.annotations, [placeAnnotation]: `${place}@${entry.digest}` },
  }))
  return { descriptors: marked, owners }
}

/** An image of the store, or else of a registry: with podman's rule for a name without a transport. */
async function locate(
  cx: Context,
  store: LocalStore,
  places: Places,
  text: string,
): Promise<{ readonly source: Source; readonly name: string; readonly place: string | undefined }> {
  const location = parseLocation(text)
  if (location.transport === 'store') {
    try {
      await store.resolve(cx, location.name)
      return { source: store, name: location.name, place: undefined }
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error
    }
  } else if (location.transport !== 'docker') {
    throw new StaveError('usage', `cannot add ${text} to a list: bring it into the store first`, {
      hint: `stave copy ${text} NAME does that.`,
    })
  }
  const { registry, repository } = parseReference(location.name)
  const opened = await places.source(cx, `docker://${location.name}`)
  return { ...opened, place: formatReference({ registry, repository }) }
}

/** The entry of a list that a digest or the name of an image means. */
export async function entryOf(cx: Context, store: LocalStore, places: Places, list: ManifestList, text: string): Promise<Digest> {
  const known = new Set(list.entries.map(({ digest }) => digest))
  const wanted = text.startsWith('sha256:') || text.startsWith('sha512:') ? [parseDigest(text)] : await digestsOf()
  const found = wanted.find((digest) => known.has(digest))
  if (found === undefined) throw new StaveError('not-found', `cannot find ${text} in the list ${list.name}`)
  return found

  async function digestsOf(): Promise<readonly Digest[]> {
    const { descriptors } = await imageEntries(cx, store, places, text, true)
    return descriptors.map(({ digest }) => digest)
  }
}

/** For {@link IndexChange.patch}: what is said of some entries, over what they say. */
export function patchOf(
  isMeant: (entry: Descriptor) => boolean,
  { platform, annotations }: EntryChange,
): NonNullable<IndexChange['patch']> {
  const isSaid = Object.values(platform).some((value) => value !== undefined)
  return (entry) => {
    if (!isMeant(entry)) return {}
    const said = Object.fromEntries(Object.entries(platform).filter(([, value]) => value !== undefined))
    return {
      ...(isSaid && { platform: { os: 'linux', architecture: '', ...entry.platform, ...said } }),
      ...(annotations.length > 0 && { annotations: { ...entry.annotations, ...keyValues(annotations, '--annotation') } }),
    }
  }
}

/** The list as others are to see it: without the notes of where its entries are. */
export function published(list: ManifestList, owners: ReadonlyMap<Digest, Source>, below: Source | undefined) {
  const patch: IndexChange['patch'] = ({ annotations = {} }) => {
    const { [placeAnnotation]: place, ...rest } = annotations
    return place === undefined ? {} : { annotations: Object.keys(rest).length === 0 ? undefined : rest }
  }
  return changedIndex(below, list.raw, list.descriptor, list.entries, owners, { patch })
}

/** Sends a list, and the images of it that the target lacks, from wherever they are. */
export async function pushList(cx: Context, store: LocalStore, places: Places, list: ManifestList, to: Location): Promise<Descriptor> {
  const owners = new Map<Digest, Source>()
  for (const entry of list.entries) {
    const place = entry.annotations?.[placeAnnotation]
    const source = place === undefined || (await store.has(cx, entry)) ? store : (await places.source(cx, `docker://${place}`)).source
    for (const [digest, owner] of (await entriesOf(cx, source, entry)).owners) owners.set(digest, owner)
  }
  const made = published(list, owners, store)
  const { target, name } = await places.target(cx, to)
  return transfer(cx, { title: `pushing ${list.name} to ${target.title}`, from: made.source, root: made.descriptor, to: target, name })
}
