import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openArtifact, titleAnnotation } from '#artifact/artifact.ts'
import { unpackLayer } from '#artifact/unpack.ts'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import { replaceFile, withFileErrors } from '#image/file.ts'
import { openImage } from '#image/image.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { artifactPullFlags } from './commands.ts'

/** Writes the files of an artifact that have names. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof artifactPullFlags>): Promise<void> {
  const [place = ''] = args
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { source, name } = await places.source(cx, place)
  const named = await resolveOrLeave(cx, source, name)
  const root = flags.platform === undefined ? named : (await openImage(cx, source, named, parsePlatform(flags.platform))).descriptor
  const { config, layers } = await openArtifact(cx, source, root)
  const files = layers.flatMap((layer) => {
    const title = layer.annotations?.[titleAnnotation]
    return title === undefined ? [] : [{ layer, title }]
  })
  if (files.length === 0 && flags.config === undefined) {
    throw new StaveError('unsupported', `cannot pull the files of ${place}: it has none with a name`, {
      hint: 'An image is pulled with stave pull, and copied whole with stave copy.',
    })
  }
  const directory = resolve(settings.cwd, flags.output ?? '.')
  await withFileErrors(`make ${directory}`, async () => makeDirectories(directory))
  const paths: string[] = []
  for (const { layer, title } of files)
    paths.push(await unpackLayer(cx, source, layer, title, { directory, keepOld: flags['keep-old-files'] === true }))
  if (flags.config !== undefined) {
    const path = resolve(settings.cwd, flags.config)
    const bytes = Readable.from(await source.open(cx, config))
    await withFileErrors(`write ${path}`, () => replaceFile(path, (temporary) => pipeline(bytes, createWriteStream(temporary))))
  }
  if (flags.json)
    return report.json({ digest: root.digest, files: files.map(({ layer, title }, at) => ({ title, path: paths[at], ...layer })) })
  for (const path of paths) report.print(path)
}
