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
  const place = (id: string): Place => placeOf(store, layout.snapshotTree(id))
  const row = store.database.get(
    'SELECT count(*) AS count FROM snapshot WHERE id IN (SELECT value FROM json_each(?))',
    JSON.stringify(container.snapshots),
  )
  if (row?.['count'] === container.snapshots.length) return container.snapshots.map(place)
  const image = await openImage(cx, store, container.manifest)
  const snapshots = (await store.snapshots.ensure(cx, image)).map((snapshot) => snapshot.id).toReversed()
  updateContainer(store, container, { snapshots })
  return snapshots.map(place)
}

/** All that a container sees of its root, without mounts: what it has written, then its image, top first. */
export async function wholeTree(cx: Context, store: LocalStore, container: ContainerRecord): Promise<Place[]> {
  return [upperTree(store, container), ...(await lowerTrees(cx, store, container))]
}
