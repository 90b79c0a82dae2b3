import type { Context } from '#context.ts'
import type { Source, Target } from '#image/content.ts'
import { convert } from '#image/convert.ts'
import { openImage } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Format } from '#oci/media-type.ts'
import type { Reference } from '#oci/reference.ts'
import { createFiles, openFiles } from '#places/files.ts'
import type { Registry, RegistryClient } from '#registry/client/registry.ts'
import type { ImagePlace, Pair } from './plan.ts'
import { openTraffic, sharing, type Traffic } from './traffic.ts'

export interface Clients {
  /** The client that reads registries for an account of a list, or for none. */
  readonly sources: (account: string | undefined) => Promise<RegistryClient>
  readonly targets: () => Promise<RegistryClient>
}

/** What is wanted of each image. */
export interface Reading {
  /** Of an index only the image for this platform, and not the index. */
  readonly platform?: Platform
  /** Convert manifests first. */
  readonly format?: Format
  /** Also what refers to the images. Then an image that is there is looked through nevertheless. */
  readonly referrers?: boolean
}

/** Directories of a plan have absolute paths. */
const around = { cwd: '/' }

export interface Ends {
  source(cx: Context, place: ImagePlace, account: string | undefined): Promise<{ readonly source: Source; readonly name: string }>
  target(place: ImagePlace): Promise<{ readonly target: Target; readonly name: string }>
  registry(reference: Reference): Promise<Registry>
}

/** Opens each repository once, so that its images share what is known of it. */
export function openEnds({ sources, targets }: Clients): Ends {
  const opened = new Map<string, Promise<Registry>>()
  const written = new Map<string, Target>()
  const traffic = new Map<string, Traffic>()
  const once = (key: string, open: () => Promise<Registry>): Promise<Registry> => {
    if (!opened.has(key)) opened.set(key, open())
    return opened.get(key)!
  }
  const ends: Ends = {
    registry: (reference) => once(`to ${reference.registry}/${reference.repository}`, async () => (await targets()).open(reference)),
    async source(cx, place, account) {
      if (place.transport === 'dir') return openFiles(cx, place, around)
      const { registry, repository } = place.reference
      const source = await once(`from ${account ?? ''} ${registry}/${repository}`, async () =>
        (await sources(account)).open(place.reference),
      )
      return { source, name: nameOf(place.reference) }
    },
    async target(place) {
      if (place.transport === 'dir') return { target: (await createFiles(place, around)).target, name: '' }
      const { reference } = place
      const registry = await ends.registry(reference)
      if (!traffic.has(reference.registry)) traffic.set(reference.registry, openTraffic())
      if (!written.has(registry.title)) written.set(registry.title, sharing(registry, traffic.get(reference.registry)!))
      return { target: written.get(registry.title)!, name: targetNameOf(reference) }
    },
  }
  return ends
}

/** What the source has, if that is the same. One HEAD tells, where a GET would count as a pull. */
export async function unchanged(
  cx: Context,
  { from }: Pair,
  there: Digest,
  ends: Ends,
  { platform, format, referrers }: Reading,
): Promise<Descriptor | undefined> {
  if (platform !== undefined || format !== undefined || referrers === true) return undefined
  const { source, name } = await ends.source(cx, from.place, from.account)
  const here = await source.describe?.(cx, name)
  return here?.digest === there ? here : undefined
}

export async function openSource(
  cx: Context,
  { from }: Pair,
  ends: Ends,
  { platform, format }: Reading,
): Promise<{ readonly source: Source; readonly root: Descriptor }> {
  const { source, name } = await ends.source(cx, from.place, from.account)
  let root = await source.resolve(cx, name)
  if (platform !== undefined) root = (await openImage(cx, source, root, platform)).descriptor
  if (format === undefined) return { source, root }
  const converted = await convert(cx, source, root, format)
  return { source: converted.source, root: converted.descriptor }
}

/** What the name stands for in the target now. */
export async function look(cx: Context, to: ImagePlace, ends: Ends): Promise<Digest | undefined> {
  if (to.transport === 'docker') return (await (await ends.registry(to.reference)).look(cx, targetNameOf(to.reference)))?.digest
  try {
    // The manifest is the last thing that is written there.
    return (await (await openFiles(cx, to, around)).source.resolve(cx, '')).digest
  } catch {
    // No image, or a damaged one: it is written, and if that cannot be done, that says why.
    return undefined
  }
}

function nameOf({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest'
}

/** Of `web:1@sha256:…`, the digest says what to read, and the tag how it is called. */
function targetNameOf({ tag, digest }: Reference): string {
  return tag ?? digest ?? 'latest'
}
