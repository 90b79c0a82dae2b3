import { writeFile } from 'node:fs/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { readWholeFile, replaceFile, withFileErrors } from '#image/file.ts'
import { readManifest } from '#image/image.ts'
import { encode } from '#image/json.ts'
import { readAll, once } from '#image/read.ts'
import * as limit from '#limit.ts'
import { array, decodeJson, digest, literal, object, record } from '#oci/decode.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'

/** What lies on the other side of a gap that no network crosses: the blobs of its repositories. */
export interface Inventory {
  /** The repositories that have a blob, in their order; none if it is not there. */
  repositoriesOf(digest: Digest): readonly string[]
}

/** What repositories have: their names without a registry, and blobs. */
export type Contents = ReadonlyMap<string, ReadonlySet<Digest>>

/** A blob that a backup leaves out. */
export interface OmittedBlob {
  readonly digest: Digest
  readonly size: number
  readonly repositories: readonly string[]
}

/** Also the kind of the entry of a backup by which it tells what it leaves out. */
export const inventoryType = 'application/vnd.stave.inventory.v1+json'

const decoder = object({ inventoryVersion: literal(1), repositories: record(array(digest, limit.inventoryBlobs)) }, {})

/**
 * Reads inventories; what any of them has is there.
 *
 * @throws StaveError `invalid-document`, `too-large`, `io`
 */
export async function readInventories(paths: readonly string[]): Promise<Inventory & { readonly contents: Contents }> {
  const contents = new Map<string, Set<Digest>>()
  for (const path of paths) {
    const raw = await withFileErrors(`read the inventory ${path}`, () => readWholeFile(path, limit.inventoryBytes))
    addTo(contents, decodeInventory(raw, `the inventory ${path}`))
  }
  return { ...inventoryOf(contents), contents }
}

/** Writes an inventory, the same bytes for the same contents. */
export async function writeInventory(path: string, ...all: readonly Contents[]): Promise<void> {
  const contents = new Map<string, Set<Digest>>()
  for (const each of all) addTo(contents, each)
  const text = encodeInventory(contents)
  await withFileErrors(`write the inventory ${path}`, () => replaceFile(path, (temporary) => writeFile(temporary, text)))
}

/** Adds the entry that tells what a backup leaves out: a manifest without a name, whose layer is an inventory of that. */
export async function addOmitted(cx: Context, archive: Target, omitted: readonly OmittedBlob[]): Promise<void> {
  const contents = new Map<string, Set<Digest>>()
  for (const { digest: blob, repositories } of omitted) for (const name of repositories) addTo(contents, new Map([[name, new Set([blob])]]))
  const put = async (mediaType: string, raw: Uint8Array): Promise<Descriptor> => {
    const what = { mediaType, digest: digestOf(raw), size: raw.length }
    await archive.write(cx, what, once(raw))
    return what
  }
  const config = await put(mediaTypes.ociEmpty, Buffer.from('{}'))
  const layer = await put(inventoryType, encodeInventory(contents))
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, artifactType: inventoryType, config, layers: [layer] }
  await put(mediaTypes.ociManifest, encode(manifest))
}

/** What a backup leaves out, by the entry that tells it. Undefined if this entry is none such. */
export async function readOmitted(cx: Context, archive: Source, entry: Descriptor): Promise<Inventory | undefined> {
  const document = await readManifest(cx, archive, entry)
  const [layer] = document.kind === 'manifest' && document.manifest.artifactType === inventoryType ? document.manifest.layers : []
  if (layer === undefined) return undefined
  const raw = await readAll(cx, archive, layer, limit.inventoryBytes)
  return inventoryOf(decodeInventory(raw, `what ${archive.title} leaves out`))
}

function inventoryOf(contents: Contents): Inventory {
  const repositories = new Map<Digest, string[]>()
  for (const [name, blobs] of contents) {
    for (const blob of blobs) {
      const names = repositories.get(blob)
      if (names === undefined) repositories.set(blob, [name])
      else names.push(name)
    }
  }
  return { repositoriesOf: (blob) => (repositories.get(blob) ?? []).toSorted() }
}

function addTo(contents: Map<string, Set<Digest>>, more: Contents): void {
  for (const [name, blobs] of more) contents.set(name, (contents.get(name) ?? new Set<Digest>()).union(blobs))
}

function encodeInventory(contents: Contents): Uint8Array {
  const names = [...contents.keys()].toSorted()
  return encode({ inventoryVersion: 1, repositories: Object.fromEntries(names.map((name) => [name, [...contents.get(name)!].toSorted()])) })
}

function decodeInventory(raw: Uint8Array, title: string): Contents {
  const { repositories } = decodeJson(raw, limit.inventoryBytes, title, 'docs/backups.md, "The inventory"', decoder)
  const names = Object.keys(repositories)
  if (names.length > limit.inventoryRepositories)
    throw new StaveError('too-large', `cannot read ${title}: it has ${names.length} repositories`)
  return new Map(names.map((name) => [name, new Set(repositories[name])]))
}
