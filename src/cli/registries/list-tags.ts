import { StaveError } from '#error.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { parseLocation } from '#places/location.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { retriedFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof retriedFlags>): Promise<void> {
  const location = parseLocation(args[0]!)
  await using places = createPlaces(settings, { ...flags, retry: flags['retry-times'], unverified: true }, () => openSession(settings))
  if (location.transport === 'docker-archive' || location.transport === 'oci-archive' || location.transport === 'oci') {
    const { source } = await places.source(cx, location)
    const tags = ((await source.list?.(cx)) ?? []).flatMap(({ names }) => names)
    return report.json({ Repository: location.path, Tags: tags })
  }
  if (location.transport !== 'docker')
    throw new StaveError('usage', `cannot list the tags of ${args[0]}`, { hint: `For a registry, write docker://${args[0]}.` })
  const { registry, repository } = parseReference(location.name)
  const remote = await places.registry(parseReference(location.name))
  report.json({ Repository: `${registry}/${repository}`, Tags: await remote.listTags(cx) })
}
