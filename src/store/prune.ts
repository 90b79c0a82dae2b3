import { layout, pathOf } from './layout.ts'
import { readdirSync, statSync, unlinkSync } from 'node:fs'
import type { Context } from '#context.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { cacheFiles, removeCacheFiles, type CacheFile } from './cache-files.ts'
import { heldBy, oldestWriter } from './leases.ts'
import type { LocalStore } from './open.ts'
import { containerImages, reach, roots, type Reach } from './reach.ts'
import { renewMs, sweepSnapshots } from './snapshots.ts'

export interface PruneOptions {
  /** Which images lose their names first: those without one (`dangling`, the default), all that no container uses, or none. */
  readonly images?: 'none' | 'dangling' | 'all'
  /** Of these only the ones with such a name. */
  readonly accepts?: (name: string) => boolean
  /** The most bytes that the build cache keeps: what was not used for longest goes first; 0: all of it goes. Absent: no limit. */
  readonly cacheBytes?: number
  /** Of the build cache, only what was not used since this time (milliseconds since 1970) goes. Alone: all of that. */
  readonly cacheUnusedSince?: number
}

export interface PruneReport {
  /** Names that were removed. */
  readonly images: readonly string[]
  readonly cacheRecords: number
  readonly blobs: number
  readonly snapshots: number
  /** Freed, blobs, snapshots and files of the build cache together. */
  readonly bytes: number
}

interface SnapshotRow {
  readonly chain: Digest
  readonly id: string
  readonly parent: string | null
  readonly diff: string
  readonly bytes: number
  readonly used: number
}

/** A clock that files and processes share is not exact: a file's time may be this much behind. */
const slackMs = 2000

/**
 * Removes what nothing needs: mark from names, containers and the build cache, and sweep. Safe beside processes that
 * build, pull and run: what they brought in or found present since they began is kept, as is what they lease.
 */
export async function prune(cx: Context, store: LocalStore, options: PruneOptions = {}): Promise<PruneReport> {
  const began = Date.now() - slackMs
  const images = untag(store, options)
  const marked = reach(store, roots(store))
  const isLimited = options.cacheBytes !== undefined || options.cacheUnusedSince !== undefined
  const evicted = evict(store, marked, options, isLimited ? await cacheFiles(cx, store, began) : [])
  await removeCacheFiles(cx, store, evicted.files)
  const snapshots = dropSnapshots(store, marked, evicted.snapshots)
  await sweepSnapshots(cx, { ...store, blobs: store.files })
  const blobs = sweepBlobs(store, marked, began)
  return {
    images,
    cacheRecords: evicted.records,
    blobs: blobs.count,
    snapshots: snapshots.count,
    bytes: blobs.bytes + snapshots.bytes + evicted.files.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

interface Evicted {
  readonly records: number
  /** Their ids. */
  readonly snapshots: Set<string>
  readonly files: readonly CacheFile[]
}

function untag(store: LocalStore, { images: which = 'dangling', accepts = () => true }: PruneOptions): string[] {
  if (which === 'none') return []
  return store.database.transaction(() => {
    const used = new Set<string>(containerImages(store).map(({ descriptor }) => descriptor.digest))
    const names = store.names
      .list()
      .filter(({ name, descriptor }) => (which === 'all' || isDigest(name)) && !used.has(descriptor.digest) && accepts(name))
      .map(({ name }) => name)
    for (const name of names) store.names.delete(name)
    return names
  })
}

/** Chooses what of the build cache has to go so that it fits, and deletes its records. */
function evict(store: LocalStore, marked: Reach, options: PruneOptions, others: readonly CacheFile[]): Evicted {
  if (options.cacheBytes === undefined && options.cacheUnusedSince === undefined) return { records: 0, snapshots: new Set(), files: [] }
  const { cacheBytes = 0, cacheUnusedSince = Infinity } = options
  const { database } = store
  return database.transaction(() => {
    const items: { kind: 'record' | 'snapshot' | 'file'; key: string; bytes: number; used: number; depth: number }[] = others.map(
      ({ path, bytes, used }) => ({ kind: 'file', key: path, bytes, used, depth: 0 }),
    )
    // Several records may have the same layer, which counts once: with the one used last.
    const sizes = new Map<string, number>()
    for (const row of database.all('SELECT key, digest, bytes, used FROM cache ORDER BY used DESC')) {
      const digest = row['digest'] as Digest | null
      const counts = digest !== null && !marked.blobs.has(digest) && !sizes.has(digest)
      const bytes = counts ? Number(row['bytes']) : 0
      if (digest !== null) sizes.set(digest, bytes)
      items.push({ kind: 'record', key: String(row['key']), bytes, used: Number(row['used']), depth: 0 })
    }
    const held = heldSnapshots(store)
    const unmarked = snapshotRows(store).filter((row) => !marked.chains.has(row.chain) && !held.has(row.id))
    const rank = ranks(unmarked)
    for (const row of unmarked) items.push({ kind: 'snapshot', key: row.id, bytes: row.bytes, ...rank.get(row.chain)! })
    // A tree is of no use without those below it: it ranks before them, and they are as young as their youngest user.
    items.sort((one, other) => one.used - other.used || other.depth - one.depth)
    let total = items.reduce((sum, item) => sum + item.bytes, 0)
    const snapshots = new Set<string>()
    const files = new Set<string>()
    let records = 0
    for (const item of items) {
      // With nothing to keep, records without bytes go as well.
      if ((total <= cacheBytes && cacheBytes > 0) || item.used >= cacheUnusedSince) break
      total -= item.bytes
      if (item.kind === 'snapshot') snapshots.add(item.key)
      else if (item.kind === 'file') files.add(item.key)
      else if (item.bytes > 0 || cacheBytes === 0) records += database.run('DELETE FROM cache WHERE key = ?', item.key)
    }
    return { records, snapshots, files: others.filter(({ path }) => files.has(path)) }
  })
}

function ranks(rows: readonly SnapshotRow[]): Map<string, { used: number; depth: number }> {
  const byChain = new Map(rows.map((row) => [row.chain as string, row]))
  const rank = new Map<string, { used: number; depth: number }>()
  for (const row of rows) {
    const path: SnapshotRow[] = []
    for (let at: SnapshotRow | undefined = row; at !== undefined; at = at.parent === null ? undefined : byChain.get(at.parent))
      path.push(at)
    path.forEach((below, distance) => {
      const known = rank.get(below.chain)
      rank.set(below.chain, { used: Math.max(known?.used ?? 0, row.used), depth: known?.depth ?? path.length - distance })
    })
  }
  return rank
}

/** Deletes the rows of trees that nothing needs; their directories are garbage then, and the sweep removes them. */
function dropSnapshots(store: LocalStore, marked: Reach, evicted: ReadonlySet<string>): { count: number; bytes: number } {
  const { database } = store
  // In one transaction with the look at who is at work: whoever registers after it does not find the rows any more.
  return database.transaction(() => {
    const since = oldestWriter(database) - renewMs
    const held = heldSnapshots(store)
    const rows = snapshotRows(store)
    const cached = new Set(database.all('SELECT diff FROM cache WHERE diff IS NOT NULL').map((row) => String(row['diff'])))
    const byChain = new Map(rows.map((row) => [row.chain as string, row]))
    const keep = new Set<string>()
    for (const row of rows) {
      const needed = marked.chains.has(row.chain) || held.has(row.id) || row.used > since || (cached.has(row.diff) && !evicted.has(row.id))
      if (!needed) continue
      for (
        let at: SnapshotRow | undefined = row;
        at !== undefined && !keep.has(at.chain);
        at = at.parent === null ? undefined : byChain.get(at.parent)
      )
        keep.add(at.chain)
    }
    const gone = rows.filter((row) => !keep.has(row.chain))
    for (const row of gone) database.run('DELETE FROM snapshot WHERE chain = ?', row.chain)
    return { count: gone.length, bytes: gone.reduce((sum, row) => sum + row.bytes, 0) }
  })
}

function heldSnapshots(store: LocalStore): Set<string> {
  const held = heldBy(store.database, 'snapshot')
  const rows = store.database.all("SELECT snapshot.value AS id FROM container, json_each(container.record, '$.snapshots') AS snapshot")
  for (const row of rows) held.add(String(row['id']))
  return held
}

function snapshotRows(store: LocalStore): SnapshotRow[] {
  // A build's tree has no size of its own; that of the layer made of it stands for it.
  const sql = `SELECT chain, id, parent, diff, used, coalesce(bytes, (SELECT json_extract(layer, '$.uncompressedSize') FROM cache WHERE cache.diff = snapshot.diff LIMIT 1), 0) AS bytes FROM snapshot`
  return store.database.all(sql) as unknown as SnapshotRow[]
}

/** Unlinks blobs that nothing mentions. */
function sweepBlobs(store: LocalStore, marked: Reach, began: number): { count: number; bytes: number } {
  const { database } = store
  return database.transaction(() => {
    const since = Math.min(oldestWriter(database), began)
    const held = heldBy(database, 'blob')
    const cached = new Set(database.all('SELECT digest FROM cache WHERE digest IS NOT NULL').map((row) => String(row['digest'])))
    let count = 0
    let bytes = 0
    for (const { digest, path } of blobFiles(store)) {
      if (marked.blobs.has(digest) || held.has(digest) || cached.has(digest)) continue
      const { mtimeMs, size } = statSync(path)
      if (mtimeMs >= since) continue
      unlinkSync(path)
      database.run('DELETE FROM image WHERE manifest = ?', digest)
      database.run('DELETE FROM verified WHERE digest = ?', digest)
      database.run('DELETE FROM stack WHERE config = ?', digest)
      database.run('DELETE FROM referrer WHERE digest = ?', digest)
      count++
      bytes += size
    }
    return { count, bytes }
  })
}

/** The files in `blobs/`, by the digests that their names say. */
export function blobFiles(store: LocalStore): { digest: Digest; path: string }[] {
  const files: { digest: Digest; path: string }[] = []
  for (const algorithm of ['sha256', 'sha512']) {
    let names: string[]
    try {
      names = readdirSync(pathOf(store, layout.blobsOf(algorithm)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw error
    }
    for (const name of names) {
      const digest = `${algorithm}:${name}`
      if (isDigest(digest)) files.push({ digest, path: pathOf(store, layout.blob(digest)) })
    }
  }
  return files
}

export interface DiskUsage {
  readonly images: { readonly count: number; readonly bytes: number }
  /** Of the build cache, what no image has as well. */
  readonly cache: { readonly count: number; readonly bytes: number }
  readonly snapshots: { readonly count: number; readonly bytes: number }
  /** Cache mounts, fetched repositories, digests of files, logs: what of the build cache is neither blob nor snapshot. */
  readonly cacheFiles: { readonly count: number; readonly bytes: number }
  readonly containers: { readonly count: number }
  readonly volumes: { readonly count: number }
  /** What {@link prune} would free at once if nothing else ran. */
  readonly reclaimableBytes: number
}

export async function diskUsage(cx: Context, store: LocalStore): Promise<DiskUsage> {
  const { database } = store
  const marked = reach(store, roots(store))
  const cached = new Set(database.all('SELECT digest FROM cache WHERE digest IS NOT NULL').map((row) => String(row['digest'])))
  let [imageBytes, cacheBytes, otherBytes] = [0, 0, 0]
  for (const { digest, path } of blobFiles(store)) {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (marked.blobs.has(digest)) imageBytes += size
    else if (cached.has(digest)) cacheBytes += size
    else otherBytes += size
  }
  const count = (table: string) => Number(database.get(`SELECT count(*) AS count FROM ${table}`)?.['count'] ?? 0)
  const snapshots = snapshotRows(store)
  const files = await cacheFiles(cx, store, Infinity)
  return {
    images: { count: count('name'), bytes: imageBytes },
    cache: { count: count('cache'), bytes: cacheBytes },
    snapshots: { count: snapshots.length, bytes: snapshots.reduce((sum, row) => sum + row.bytes, 0) },
    cacheFiles: { count: files.length, bytes: files.reduce((sum, { bytes: size }) => sum + size, 0) },
    containers: { count: count('container') },
    volumes: { count: count('volume') },
    reclaimableBytes: otherBytes,
  }
}
