import { layout, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import { openImage } from '#image/image.ts'
import type { Place } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import { updateContainer, type ContainerRecord } from './container.ts'

/** What a container has written: the upper directory of its overlay. */
export function upperTree(store: LocalStore, container: Pick<ContainerRecord, 'id'>): Place {
  return placeOf(store, layout.containerTree(container.id))
}

/** The trees of its image's layers, top first. Those of an old container may have been unpacked again meanwhile, under other names. */
export async function lowerTrees(cx: Context, store: LocalStore, container: ContainerRecord): Promise<Place[]> {
  const found = store.snapshots.find(container.snapshots)
  if (found !== undefined) return found.map(({ place }) => place)
  const image = await openImage(cx, store, container.manifest)
  const snapshots = (await store.snapshots.ensure(cx, image)).toReversed()
  updateContainer(store, container, { snapshots: snapshots.map(({ id }) => id) })
  return snapshots.map(({ place }) => place)
}

/** All that a container sees of its root, without mounts: what it has written, then its image, top first. */
export async function wholeTree(cx: Context, store: LocalStore, container: ContainerRecord): Promise<Place[]> {
  return [upperTree(store, container), ...(await lowerTrees(cx, store, container))]
}
