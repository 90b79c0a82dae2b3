import type { Context } from '#context.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { isConfig } from '#oci/media-type.ts'
import type { Source } from './content.ts'
import type { Converted } from './convert.ts'
import { isAttestation, view, type Image } from './image.ts'
import { encode, parseKeeping, patch, type JsonObject } from './json.ts'
import { overlay } from './overlay.ts'
import { leavesFirst, walk, type ManifestNode } from './walk.ts'

/**
 * Changes an image, or each image of an index, and makes the index of what came of them: all else that it says stays.
 * Attestations of what was changed are left out, for they are about something else. Artifacts stay as they are.
 *
 * @returns a root whose place is valid as long as `source` and the places of the changed images are
 * @throws StaveError what `change` and reading manifests throw
 */
export async function rewrite(
  cx: Context,
  source: Source,
  root: Descriptor,
  change: (image: Image) => Promise<Image>,
): Promise<Converted & { readonly dropped: readonly Descriptor[] }> {
  const nodes = leavesFirst(await walk(cx, source, root))
  const entries = entriesOf(nodes)
  const owners = new Map<Digest, Source>()
  const place = overlay(source.title, owners, source)
  const made = new Map<Digest, Descriptor>()
  const dropped = new Map<Digest, Descriptor>()
  for (const { document } of nodes) {
    const before = entries.get(document.descriptor.digest) ?? document.descriptor
    if (document.kind === 'index') made.set(before.digest, place.top.put(changedIndex(document.raw), document.descriptor.mediaType))
    else if (!isAttestation(before) && isConfig(document.manifest.config.mediaType)) {
      const image = await change(view(source, before, document.manifest, document.raw))
      for (const what of [image.descriptor, image.manifest.config, ...image.manifest.layers])
        if (!owners.has(what.digest)) owners.set(what.digest, image.source)
      made.set(before.digest, image.descriptor)
    }
  }
  return { source: place, descriptor: { ...root, ...made.get(root.digest) }, dropped: [...dropped.values()] }

  function changedIndex(raw: Uint8Array): Uint8Array {
    const index = parseKeeping(raw)
    const manifests = (index['manifests'] as readonly JsonObject[]).flatMap((entry) => {
      const digest = entry['digest'] as Digest
      const subject = (entry['annotations'] as JsonObject | undefined)?.['vnd.docker.reference.digest'] as Digest | undefined
      const isAboutOther = subject !== undefined && made.has(subject) && made.get(subject)!.digest !== subject
      if (isAboutOther) dropped.set(digest, entries.get(digest)!)
      return isAboutOther ? [] : [changedEntry(entry, made.get(digest))]
    })
    return encode(patch(index, { manifests }))
  }
}

function changedEntry(entry: JsonObject, made: Descriptor | undefined): JsonObject {
  if (made === undefined || made.digest === entry['digest']) return entry
  const { mediaType, digest, size, platform } = made
  return patch(entry, { mediaType, digest, size, ...(entry['platform'] !== undefined && platform !== undefined && { platform }) })
}

/** As their index has them: with platform and annotations. */
function entriesOf(nodes: readonly ManifestNode[]): ReadonlyMap<Digest, Descriptor> {
  const indexes = nodes.flatMap(({ document }) => (document.kind === 'index' ? [document.index] : []))
  return new Map(indexes.flatMap(({ manifests }) => manifests).map((entry) => [entry.digest, entry] as const))
}
