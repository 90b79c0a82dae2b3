import { layout, pathOf, placeOf } from './layout.ts'
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '#context.ts'
import type { Place } from '#runner/protocol.ts'
import { oldestWriter } from './leases.ts'
import { buildNames } from './logs.ts'
import type { LocalStore } from './open.ts'
import type { Store } from './store.ts'

/** Something of the build cache that is no blob and no snapshot. */
export interface CacheFile {
  /** Below the store. */
  readonly path: string
  /** A tree of files, whoever they belong to: only the runner can remove it. */
  readonly isTree: boolean
  readonly bytes: number
  /** Milliseconds since 1970. */
  readonly used: number
}

/** Notes that a cache mount is used now: by that it is known which were not for longest. */
export function touchCacheMount(store: Pick<Store, 'root'>, name: string): void {
  const mark = pathOf(store, `${layout.cacheMount(name)}.used`)
  try {
    const now = new Date()
    utimesSync(mark, now, now)
  } catch {
    writeFileSync(mark, '')
  }
}

/** Cache mounts, fetched repositories, what was downloaded, digests and listings of files, logs. Nothing that may be in use. */
export async function cacheFiles(cx: Context, store: LocalStore, began: number): Promise<readonly CacheFile[]> {
  const since = Math.min(oldestWriter(store.database), began)
  const found = [
    ...below(store, layout.cacheMounts, /^[0-9a-f]{64}(?:-\d+)*$/, (path) => `${path}.used`),
    ...below(store, layout.repositories, /^[0-9a-f]{64}$/, (path) => join(path, 'FETCH_HEAD')),
    ...below(store, layout.builds, buildNames, (path) => join(path, 'build.json')),
    ...[layout.downloads, layout.statCache, layout.listingsOf('sha256')].flatMap((directory) =>
      below(store, directory, /./, (path) => path),
    ),
  ].filter(({ used }) => used < since)
  const sizes = await treeSizes(
    cx,
    store,
    found.filter(({ isTree }) => isTree).map(({ path }) => path),
  )
  return found.map((file) => (file.isTree ? { ...file, bytes: sizes.get(file.path) ?? 0 } : file))
}

/** The bytes of all files in each of these trees. */
async function treeSizes(cx: Context, store: LocalStore, paths: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (paths.length === 0) return new Map()
  const selections = paths.map((path) => ({
    selection: { from: { kind: 'directory' as const, root: placeOf(store, path) }, sources: ['.'], literal: true },
    sizes: true,
  }))
  const measured = await store.runner.digest(cx, { selections })
  return new Map(paths.map((path, at) => [path, measured.selections[at]?.bytes ?? 0]))
}

/** Removes them, but what has been used meanwhile. */
export async function removeCacheFiles(cx: Context, store: LocalStore, files: readonly CacheFile[]): Promise<void> {
  const trees: Place[] = []
  for (const { path, isTree, used } of files) {
    const own = pathOf(store, path)
    if (!isTree) rmSync(own, { force: true })
    else if ((stat(`${own}.used`)?.mtimeMs ?? 0) <= used) {
      // Out of the way first: half of it is never found by a build.
      renameSync(own, `${own}.removed`)
      rmSync(`${own}.used`, { force: true })
      trees.push(placeOf(store, `${path}.removed`))
    }
  }
  if (trees.length > 0) await store.runner.remove(cx, { trees })
}

function below(store: LocalStore, directory: string, names: RegExp, mark: (path: string) => string): CacheFile[] {
  let entries: string[]
  try {
    entries = readdirSync(pathOf(store, directory))
  } catch {
    return [] // No build has had any.
  }
  return entries
    .filter((name) => names.test(name))
    .flatMap((name) => {
      const path = `${directory}/${name}`
      const own = stat(pathOf(store, path))
      if (own === undefined) return []
      const used = stat(mark(pathOf(store, path)))?.mtimeMs ?? own.mtimeMs
      return [{ path, isTree: own.isDirectory(), bytes: own.size, used }]
    })
}

function stat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}
