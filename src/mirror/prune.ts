import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import { formatReference, type Reference } from '#oci/reference.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import type { Pair } from './plan.ts'

/** cosign's signatures and lists of referrers have tags that are made of a digest: they belong to what is kept. */
const digestTag = /^sha(256|512)-[0-9a-f]{64,128}(\..*)?$/

/**
 * Tags of the target's repositories that no image of the source has any more. Only repositories that something is synced
 * to are looked at.
 *
 * @param most How many may go: more is a sign that the source is not what it should be
 * @throws StaveError `conflict` if there are more, or nothing of a repository would be left
 */
export async function findSurplus(
  cx: Context,
  pairs: readonly Pair[],
  client: RegistryClient,
  most: number,
): Promise<readonly Reference[]> {
  const kept = new Map<string, { readonly repository: Reference; readonly tags: Set<string> }>()
  for (const { to } of pairs) {
    if (to.transport !== 'docker') continue
    const { registry, repository, tag } = to.reference
    const name = formatReference({ registry, repository })
    const entry = kept.get(name) ?? { repository: { registry, repository }, tags: new Set<string>() }
    kept.set(name, entry)
    if (tag !== undefined) entry.tags.add(tag)
  }
  const surplus: Reference[] = []
  for (const { repository, tags } of kept.values()) {
    const there = await tagsOf(cx, client, repository)
    surplus.push(...there.filter((tag) => !tags.has(tag) && !digestTag.test(tag)).map((tag) => ({ ...repository, tag })))
  }
  if (surplus.length > most) {
    throw new StaveError('conflict', `cannot prune: ${surplus.length} tags would be deleted, and ${most} are the most`, {
      hint: `See what they are with --dry-run, and allow them with --prune-limit ${surplus.length}.`,
    })
  }
  return surplus
}

async function tagsOf(cx: Context, client: RegistryClient, repository: Reference): Promise<readonly string[]> {
  try {
    return await client.open(repository).listTags(cx)
  } catch (error) {
    // Nothing was synced to it yet.
    if (hasCode(error, 'not-found')) return []
    throw error
  }
}
