import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import type { Digest } from '#oci/digest.ts'
import type { Registry } from '#registry/client/registry.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { manifestDeleteFlags } from './commands.ts'
import { openNamed } from '../remote.ts'

/** Deletes a manifest with all its tags, and with `--referrers` first what refers to it. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof manifestDeleteFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { registry, name } = await openNamed(places, args[0]!)
  const root = await resolveOrLeave(cx, registry, name)
  const doomed = flags.referrers ? await withReferrers(cx, registry, root.digest) : [root.digest]
  for (const digest of doomed) await deleteOnce(cx, registry, digest)
  if (flags.json) report.json(doomed)
  else for (const digest of doomed) report.print(digest)
}

/** What refers to it before it, so that a failure in between leaves nothing that refers to nothing. */
async function withReferrers(cx: Context, registry: Registry, root: Digest): Promise<readonly Digest[]> {
  const found = new Set<Digest>()
  const visit = async (subject: Digest): Promise<void> => {
    if (found.has(subject)) return
    if (found.size >= limit.manifests)
      throw new StaveError('too-large', `cannot delete the referrers in ${registry.title}: there are too many`)
    found.add(subject)
    for (const { digest } of await registry.referrers(cx, subject)) await visit(digest)
  }
  await visit(root)
  return [...found].toReversed()
}

async function deleteOnce(cx: Context, registry: Registry, digest: Digest): Promise<void> {
  try {
    await registry.deleteManifest(cx, digest)
  } catch (error) {
    // The list may tell of what is gone by now.
    if (!hasCode(error, 'not-found')) throw error
  }
}
