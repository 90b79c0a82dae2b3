import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { edit, type Addition } from '#image/edit.ts'
import { layerOfFile } from '#image/layer-file.ts'
import { StaveError } from '#error.ts'
import { transfer } from '#image/transfer.ts'
import type { Invocation } from '../command.ts'
import { createPlaces, spoolDirectory } from '../places.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import { changeImage } from './change.ts'
import { wantedPlatform } from './fetch.ts'
import type { appendFlags } from './verb-commands.ts'

/** Puts layers of tar files on an image, or makes an image of them alone. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof appendFlags>): Promise<void> {
  const files = [...flags['new-layer'], ...args]
  if (files.length === 0) throw new StaveError('usage', 'stave image append: a FILE is missing')
  await using places = createPlaces(settings, flags, () => openSession(settings))
  await using layers = await givenLayers(cx, settings, files)
  if (flags.base !== undefined) {
    const change = (inner: Context, image: Parameters<typeof edit>[1]) => edit(inner, image, { add: layers.additions })
    await changeImage(cx, places, report, { place: flags.base, tag: flags.tag, platform: flags.platform, change })
    return
  }
  if (flags.tag === undefined) throw new StaveError('usage', 'cannot tell where the image goes', { hint: 'Name its place with --tag.' })
  const image = await edit(cx, undefined, { add: layers.additions, platform: wantedPlatform(flags.platform, settings) })
  const { target, name } = await places.target(cx, flags.tag)
  await transfer(cx, { title: `writing ${flags.tag}`, from: image.source, root: image.descriptor, to: target, name })
  await report.settle()
  report.print(image.descriptor.digest)
}

/** Layers of a person's files, lowest first. Valid until it is disposed. */
export async function givenLayers(
  cx: Context,
  settings: Settings,
  files: readonly string[],
): Promise<AsyncDisposable & { readonly additions: readonly Addition[] }> {
  const kept = new AsyncDisposableStack()
  const additions: Addition[] = []
  try {
    for (const file of files) {
      const layer = kept.use(await layerOfFile(cx, resolve(settings.cwd, file), spoolDirectory(settings)))
      additions.push({ layer, history: { created_by: `append ${file}` } })
    }
  } catch (error) {
    await kept.disposeAsync()
    throw error
  }
  return { additions, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
