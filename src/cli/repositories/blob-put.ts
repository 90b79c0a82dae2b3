import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { spool } from '../spool.ts'
import type { blobFlags } from './commands.ts'
import { openNamed } from '../remote.ts'

/** Uploads a file, or stdin, as a blob, and prints its digest. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof blobFlags>): Promise<void> {
  await using content = await spool(cx, settings, args[1] ?? '-')
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { registry } = await openNamed(places, args[0]!)
  const descriptor = { mediaType: 'application/octet-stream', digest: content.digest, size: content.size }
  if (!(await registry.has(cx, descriptor))) await registry.transfer(cx, descriptor, content.open)
  if (flags.json) report.json(descriptor)
  else report.print(content.digest)
}
