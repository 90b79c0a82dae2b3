import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import { edit } from '#image/edit.ts'
import { layerOfFile } from '#image/layer-file.ts'
import { hostPlatform } from '#oci/platform.ts'

/**
 * Opens skopeo's `tarball:`, an image for this machine whose layers are these tars, lowest first. It has one image and no name.
 *
 * @param cwd Where relative paths start
 * @param temporary The directory in which a compressed copy of a tar waits
 */
export async function openTarballs(cx: Context, files: readonly string[], cwd: string, temporary: string): Promise<Source> {
  const kept = new AsyncDisposableStack()
  try {
    const add = []
    for (const file of files) {
      const layer = kept.use(await layerOfFile(cx, resolve(cwd, file), temporary))
      add.push({ layer, history: { created_by: `tarball ${file}` } })
    }
    const image = await edit(cx, undefined, { add, platform: hostPlatform(process.arch) })
    return {
      ...image.source,
      title: `tarball:${files.join(':')}`,
      resolve: async () => image.descriptor,
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    }
  } catch (error) {
    await kept.disposeAsync()
    throw error
  }
}
