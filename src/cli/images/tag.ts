import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { isTag, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openNamed } from '../remote.ts'
import { openSession } from '../session.ts'
import type { tagFlags } from './commands.ts'

/** Gives what a name stands for more names: in the store, or in the repository of a registry. */
export async function run(invocation: Invocation<typeof tagFlags>): Promise<void> {
  const { cx, args, settings } = invocation
  if (parseLocation(args[0]!).transport === 'docker') return tagInRegistry(cx, invocation)
  await using session = await openSession(settings)
  const root = await session.store.resolve(cx, args[0]!)
  for (const name of args.slice(1)) await session.store.name(cx, root, name)
}

async function tagInRegistry(cx: Context, { flags, args, settings }: Invocation<typeof tagFlags>): Promise<void> {
  const [from = '', ...names] = args
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { registry, reference, name } = await openNamed(places, from)
  const tags = names.map((text) => {
    if (isTag(text)) return text
    const other = parseReference(text.replace(/^docker:\/\//, ''))
    if (other.registry === reference.registry && other.repository === reference.repository && other.tag !== undefined) return other.tag
    throw new StaveError('usage', `cannot tag ${from} as ${text}: that is another repository`, {
      hint: `stave copy ${from} docker://${text.replace(/^docker:\/\//, '')} copies it there.`,
    })
  })
  const root = await resolveOrLeave(cx, registry, name)
  for (const tag of tags) await registry.name(cx, root, tag)
}
