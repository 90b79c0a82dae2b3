import { StaveError } from '#error.ts'
import { formatReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { openBlobPlace } from './blob.ts'
import type { blobFlags } from './commands.ts'
import { registryReference } from '../remote.ts'

/** Has a registry take a blob over from one of its repositories into another, without a byte being sent. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof blobFlags>): Promise<void> {
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { registry: from, descriptor } = await openBlobPlace(cx, places, [args[0]!])
  const target = registryReference(args[1]!)
  const to = await places.registry(target)
  if (from.reference.registry !== target.registry)
    throw new StaveError('usage', `cannot mount ${descriptor.digest}: ${from.reference.registry} and ${target.registry} are two registries`)
  if (!(await to.adopt(cx, descriptor, from))) {
    const { registry, repository } = target
    throw new StaveError('unsupported', `cannot mount ${descriptor.digest} into ${formatReference({ registry, repository })}`, {
      cause: new Error('the registry wants it to be uploaded instead'),
      hint: 'stave blob get and stave blob put do that.',
    })
  }
  if (flags.json) report.json(descriptor)
  else report.print(descriptor.digest)
}
