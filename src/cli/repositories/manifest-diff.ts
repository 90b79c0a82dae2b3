import { openImage, readManifest } from '#image/image.ts'
import { parsePlatform } from '#oci/platform.ts'
import { resolveOrLeave } from '#places/places.ts'
import { diffJson } from '#text/line-diff.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { manifestDiffFlags } from './commands.ts'

/** Tells what differs between two manifests or indexes, line by line. @returns 1 if anything does */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof manifestDiffFlags>): Promise<number> {
  const { context = 3 } = flags
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const read = async (text: string) => {
    const { source, name } = await places.source(cx, text)
    const root = await resolveOrLeave(cx, source, name)
    const { raw } =
      flags.platform === undefined ? await readManifest(cx, source, root) : await openImage(cx, source, root, parsePlatform(flags.platform))
    return Buffer.from(raw)
  }
  const [before, after] = [await read(args[0]!), await read(args[1]!)]
  const lines = diffJson(JSON.parse(before.toString()), JSON.parse(after.toString()), context)
  for (const line of lines) report.print(line)
  if (before.equals(after)) return 0
  if (lines.length === 0) report.print('the same values, in other bytes')
  return 1
}
