import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { History } from '#oci/config.ts'
import { edit, type Addition } from './edit.ts'
import type { Image } from './image.ts'

/** Where it is written what an image was built on. @see image-spec, "Pre-Defined Annotation Keys" */
export const baseName = 'org.opencontainers.image.base.name'
export const baseDigest = 'org.opencontainers.image.base.digest'

/** Does an image begin with all layers of another? Told by diffIDs, which are the same however a layer is compressed. */
export async function isBasedOn(cx: Context, image: Image, base: Image): Promise<boolean> {
  const [layers, under] = [await image.layers(cx), await base.layers(cx)]
  return under.length <= layers.length && under.every(({ diffId }, at) => layers[at]!.diffId === diffId)
}

/**
 * Puts what an image has above its base onto another base. What it is told to run stays as the image has it; platform
 * and layers below are those of the new base. Nothing is read but manifests and configs.
 *
 * @param newName What the new base is called, for the annotation; undefined leaves it out
 * @throws StaveError `conflict` if the image does not begin with the old base
 */
export async function rebase(cx: Context, image: Image, oldBase: Image, newBase: Image, newName: string | undefined): Promise<Image> {
  if (!(await isBasedOn(cx, image, oldBase))) {
    throw new StaveError('conflict', `cannot rebase ${title(image)}: it does not begin with the layers of ${title(oldBase)}`, {
      hint: 'Name the base that it was built on.',
    })
  }
  const [config, before] = [await image.config(cx), await newBase.config(cx)]
  const old = await oldBase.config(cx)
  const layers = (await image.layers(cx)).slice(oldBase.manifest.layers.length)
  const lines = (config.history ?? []).slice(old.history?.length ?? 0)
  const removed = Object.fromEntries(Object.keys(before.config ?? {}).map((key) => [key, undefined]))
  return edit(cx, newBase, {
    freshManifest: true,
    add: additions(
      lines,
      layers.map(({ descriptor, diffId }) => ({ descriptor, diffId, source: image.source })),
    ),
    config: { ...removed, ...config.config },
    ...(config.created !== undefined && { created: config.created }),
    ...(config.author !== undefined && { author: config.author }),
    annotations: {
      ...image.manifest.annotations,
      ...(newName !== undefined && { [baseName]: newName, [baseDigest]: newBase.descriptor.digest }),
    },
  })
}

/** Each layer with its line of the history; where it tells of another number of layers, no line is told for certain. */
function additions(lines: readonly History[], layers: readonly NonNullable<Addition['layer']>[]): readonly Addition[] {
  if (lines.filter((line) => line.empty_layer !== true).length !== layers.length)
    return layers.map((layer) => ({ layer, history: { comment: 'rebased' } }))
  const left = [...layers]
  return lines.map((history) => (history.empty_layer === true ? { history } : { history, layer: left.shift()! }))
}

function title(image: Image): string {
  return `${image.source.title}@${image.descriptor.digest}`
}
