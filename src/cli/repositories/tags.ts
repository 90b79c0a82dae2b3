import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { tagListFlags } from './commands.ts'
import { openNamed } from '../remote.ts'

/** cosign's signatures and fallback lists of referrers have tags that are made of a digest. */
const digestTag = /^sha256-[0-9a-f]{64}(\..*)?$/

/** Prints the tags of a repository, one a line. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof tagListFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { registry, reference } = await openNamed(places, args[0]!)
  const found = await registry.listTags(cx, {
    ...(flags.last !== undefined && { last: flags.last }),
    ...(flags.limit !== undefined && { limit: flags.limit }),
  })
  const tags = flags['omit-digest-tags'] ? found.filter((tag) => !digestTag.test(tag)) : found
  const shown = flags['full-ref'] ? tags.map((tag) => `${reference.registry}/${reference.repository}:${tag}`) : tags
  if (flags.json) return report.json({ name: reference.repository, tags: shown })
  for (const tag of shown) report.print(tag)
}
