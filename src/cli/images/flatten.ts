import { flatten } from '#builder/flatten.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { changeImage } from './change.ts'
import type { changeFlags } from './verb-commands.ts'

/** Makes one layer of all that an image has, or each image of an index. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof changeFlags>): Promise<void> {
  await using session = await openSession(settings)
  await using places = createPlaces(settings, flags, async () => session)
  await changeImage(cx, places, report, {
    place: args[0]!,
    tag: flags.tag,
    platform: flags.platform,
    change: (inner, image) => flatten(inner, session.store, image),
  })
}
