import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { repositoryListFlags } from './commands.ts'
import { registryHost } from '../remote.ts'

/** Prints the repositories of a registry, one a line. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof repositoryListFlags>): Promise<void> {
  const host = registryHost(args[0]!)
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const client = await places.client()
  const names = await client.listRepositories(cx, host, {
    ...(flags.last !== undefined && { last: flags.last }),
    ...(flags.limit !== undefined && { limit: flags.limit }),
  })
  const shown = flags['full-ref'] ? names.map((name) => `${host}/${name}`) : names
  if (flags.json) return report.json({ repositories: shown })
  for (const name of shown) report.print(name)
}
