import { pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { edit } from '#image/edit.ts'
import { openImage, type Image } from '#image/image.ts'
import type { Compression } from '#oci/media-type.ts'
import type { Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import { keepLayer } from './solve/layer.ts'

/**
 * Makes one layer of all that an image has: what its layers delete is not in it. The image is brought into the store for
 * that, and stays there only if it was there.
 *
 * @returns an image whose layer is in the store, with the config of `image`
 */
export async function flatten(cx: Context, store: Store, image: Image): Promise<Image> {
  return withTree(cx, store, image, async (blob) => {
    const layer = await keepLayer(store, blob, await oneLayer(cx, store, image, blob, 'gzip'), { compression: 'gzip' })
    const history = { created_by: 'flatten', comment: `all of ${image.descriptor.digest}` }
    return edit(cx, image, {
      replaceLayers: true,
      add: [{ history, layer: { descriptor: layer.descriptor, diffId: layer.diffId, source: store } }],
    })
  })
}

/**
 * Writes the root file system of an image as a tar, and has it read.
 *
 * @param read Is given the path of the file, which is gone when it is done.
 */
export async function exportTree<T>(cx: Context, store: Store, image: Image, read: (path: string) => Promise<T>): Promise<T> {
  return withTree(cx, store, image, async (blob) => {
    await oneLayer(cx, store, image, blob, 'none')
    try {
      return await read(pathOf(store, blob.path))
    } finally {
      await store.blobs.discard(blob)
    }
  })
}

async function withTree<T>(
  cx: Context,
  store: Store,
  image: Image,
  use: (blob: Place & { readonly path: string }) => Promise<T>,
): Promise<T> {
  const { digest } = image.descriptor
  const wasThere = store.names.get(digest) !== undefined
  await copy(cx, image.source, image.descriptor, store, { name: digest })
  const blob = await store.blobs.temporary()
  try {
    return await use(blob)
  } catch (error) {
    await store.blobs.discard(blob)
    throw error
  } finally {
    if (!wasThere) store.names.delete(digest)
  }
}

async function oneLayer(cx: Context, store: Store, image: Image, blob: Place, compression: Compression) {
  const snapshots = await store.snapshots.ensure(cx, await openImage(cx, store, image.descriptor))
  const lowers = snapshots.map(({ place }) => place).toReversed()
  const { layer } = await store.runner.copy(cx, {
    base: [],
    items: [{ kind: 'select', selection: { from: { kind: 'lowers', lowers }, sources: ['.'] } }],
    to: '/',
    layer: { blob, compression },
  })
  if (layer === undefined) throw new StaveError('runner', `cannot flatten ${image.descriptor.digest}: the runner made no layer`)
  return layer
}
