import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** Gives what a name stands for more names. */
export async function run({ cx, args, settings }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  const root = await session.store.resolve(cx, args[0]!)
  for (const name of args.slice(1)) await session.store.name(cx, root, name)
}
