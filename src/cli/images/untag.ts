import { StaveError } from '#error.ts'
import { normalizeName } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** Removes names; the image stays under its digest. */
export async function run({ cx, args, settings }: Invocation): Promise<void> {
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
  for (const name of names) {
    if (store.names.get(name) === undefined) throw new StaveError('not-found', `cannot remove the name ${name}: it is not in the store`)
  }
  store.names.set(root.digest, root)
  for (const name of names) if (name !== root.digest) store.names.delete(name)
}
