import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { remoteFlags } from '../registries/commands.ts'

/** Prints the digest of what a name stands for; of a registry it asks by HEAD, which counts as no pull. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof remoteFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const described = await resolveOrLeave(cx, { ...source, resolve: (inner, text) => describe(inner, text) }, name)
  if (flags.json) report.json(described)
  else report.print(described.digest)

  async function describe(inner: typeof cx, text: string) {
    return (await source.describe?.(inner, text)) ?? (await source.resolve(inner, text))
  }
}
