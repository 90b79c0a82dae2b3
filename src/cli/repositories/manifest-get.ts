import { openImage, readManifest } from '#image/image.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { manifestGetFlags } from './commands.ts'

/** Writes a manifest or an index exactly as it is stored. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof manifestGetFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const root = await resolveOrLeave(cx, source, name)
  const { raw } =
    flags.platform === undefined ? await readManifest(cx, source, root) : await openImage(cx, source, root, parsePlatform(flags.platform))
  report.write(raw)
}
