import { StaveError } from '#error.ts'
import { normalizeName } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import { createPlaces } from '../places.ts'
import { openNamed } from '../remote.ts'
import { openSession } from '../session.ts'
import type { tagFlags } from './commands.ts'

/** Removes names; the image stays under its digest. */
export async function run(invocation: Invocation<typeof tagFlags>): Promise<void> {
  const { cx, args, settings } = invocation
  if (parseLocation(args[0]!).transport === 'docker') return untagInRegistry(invocation)
  await using session = await openSession(settings)
  const { store } = session
  const root = await store.resolve(cx, args[0]!)
  const names =
    args.length > 1
      ? args.slice(1).map(normalizeName)
      : store.names
          .list()
          .filter(({ descriptor }) => descriptor.digest === root.digest)
          .map(({ name }) => name)
  for (const name of names)
    if (store.names.get(name) === undefined) throw new StaveError('not-found', `cannot remove the name ${name}: it is not in the store`)
  store.names.set(root.digest, root)
  for (const name of names) if (name !== root.digest) store.names.delete(name)
}

async function untagInRegistry({ cx, flags, args, settings }: Invocation<typeof tagFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { registry, reference } = await openNamed(places, args[0]!)
  if (reference.digest !== undefined) {
    throw new StaveError('usage', `cannot remove the tag of ${args[0]}: it is named by its digest`, {
      hint: `stave delete ${args[0]} deletes the manifest with all its tags.`,
    })
  }
  for (const tag of args.length > 1 ? args.slice(1) : [reference.tag ?? 'latest']) await registry.deleteTag(cx, tag)
}
