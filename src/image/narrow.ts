import type { Context } from '#context.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Source } from './content.ts'
import type { Converted } from './convert.ts'
import { readManifest } from './image.ts'
import { encode, parseKeeping, patch } from './json.ts'
import { overlay } from './overlay.ts'
import { narrow } from './walk.ts'

/**
 * The index of some platforms of an index, and their attestations: all else that it says stays. What is no index, or has
 * nothing else, comes back as it is.
 *
 * @throws StaveError `platform-mismatch`, and what reading the index throws
 */
export async function narrowed(cx: Context, source: Source, root: Descriptor, platforms: readonly Platform[]): Promise<Converted> {
  const document = await readManifest(cx, source, root)
  if (document.kind === 'manifest') return { source, descriptor: root }
  const { manifests } = document.index
  const kept = new Set(narrow(source, root, manifests, platforms))
  if (kept.size === manifests.length) return { source, descriptor: root }
  const before = parseKeeping(document.raw)
  const entries = (before['manifests'] as readonly unknown[]).filter((_, position) => kept.has(manifests[position]!))
  const place = overlay(source.title, new Map(), source)
  const descriptor = place.top.put(encode(patch(before, { manifests: entries })), document.descriptor.mediaType)
  return { source: place, descriptor: { ...root, ...descriptor } }
}
