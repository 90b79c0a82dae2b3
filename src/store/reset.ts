import { layout, placeOf } from './layout.ts'
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { lives, ownerIn } from './leases.ts'
import type { LocalStore } from './open.ts'
import { self } from './owner.ts'
import { storeDirectories, storeFiles, strangersIn } from './private.ts'

/** Directories that nothing but a store has. */
const tellTale: readonly string[] = [layout.blobs, layout.containers, layout.networks, layout.snapshots, layout.volumes]

/**
 * Looks whether a directory is a store and nothing else, before all that is in it is removed.
 *
 * @returns false if there is nothing
 * @throws StaveError `usage` for a directory that is no store, or that has other things in it too
 */
export function isStoreAlone(root: string): boolean {
  const stat = statSync(root, { throwIfNoEntry: false })
  if (stat === undefined) return false
  if (!stat.isDirectory()) throw new StaveError('usage', `cannot remove the store ${root}: it is not a directory`)
  const there = readdirSync(root)
  if (there.length === 0) return false
  if (!existsSync(join(root, layout.database)) && !there.some((name) => tellTale.includes(name)))
    throw new StaveError('usage', `cannot remove the store ${root}: it is not one`, { hint: 'stave info says where the store is.' })
  const strangers = strangersIn(root)
  if (strangers.length > 0) {
    const shown = strangers.slice(0, 3).join(', ')
    throw new StaveError('usage', `cannot remove the store ${root}: there is also ${shown}, which is not the store's`, {
      hint: "Move what is not the store's out of that directory, then try again.",
    })
  }
  return true
}

/** The processes other than this one that bring content into the store, or keep some of it. */
export function usersOf(store: Pick<LocalStore, 'database'>): readonly number[] {
  const rows = [...store.database.all('SELECT pid, start FROM writer'), ...store.database.all('SELECT pid, start FROM lease')]
  const known = new Map<string, boolean>()
  const pids = rows.filter((row) => lives(row, known)).map((row) => ownerIn(row).pid)
  return [...new Set(pids)].filter((pid) => pid !== self().pid)
}

/**
 * Removes all that is in the store, also what belongs to subordinate ids, and its directory. What makes things visible
 * goes first: a store that is removed in part has nothing in it. The store cannot be used afterwards.
 */
export async function removeStore(cx: Context, store: LocalStore): Promise<void> {
  const { root, runner, database } = store
  database[Symbol.dispose]()
  for (const name of storeFiles) rmSync(join(root, name), { force: true })
  // What tells that this is a store goes last, so that what is interrupted can be repeated.
  const trees = [layout.registry, ...storeDirectories].toSorted(
    (one, other) => Number(tellTale.includes(one)) - Number(tellTale.includes(other)),
  )
  await runner.remove(cx, { trees: trees.map((path) => placeOf(store, path)) })
  try {
    rmdirSync(root)
  } catch (error) {
    // A place where a disk is mounted, or a directory in one that this user may not change, stays, and is empty.
    if (!['EBUSY', 'EACCES', 'EPERM', 'ENOTEMPTY', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
