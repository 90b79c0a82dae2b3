import { createReadStream, createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { exportTree } from '#builder/flatten.ts'
import { replaceFile, withFileErrors } from '#image/file.ts'
import { openImage } from '#image/image.ts'
import { isIndex } from '#oci/media-type.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { wantedPlatform } from './fetch.ts'
import type { placeFlags } from './verb-commands.ts'

/** Writes the root file system of an image as a tar, to stdout or a file that appears when it is whole. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof placeFlags>): Promise<void> {
  const [place = '', file = '-'] = args
  await using session = await openSession(settings)
  await using places = createPlaces(settings, flags, async () => session)
  const { source, name } = await places.source(cx, place)
  const root = await resolveOrLeave(cx, source, name)
  const isChosen = flags.platform !== undefined || isIndex(root.mediaType)
  const image = await openImage(cx, source, root, isChosen ? wantedPlatform(flags.platform, settings) : undefined)
  await exportTree(cx, session.store, image, async (path) => {
    await report.settle()
    if (file === '-') return pipeline(createReadStream(path), process.stdout, { end: false, signal: cx.signal })
    const target = resolve(settings.cwd, file)
    return withFileErrors(`write ${target}`, () =>
      replaceFile(target, (temporary) => pipeline(createReadStream(path), createWriteStream(temporary), { signal: cx.signal })),
    )
  })
}
