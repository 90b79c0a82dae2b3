import { layout, pathOf, placeOf } from './layout.ts'
import { chmodSync, createReadStream, existsSync, readdirSync, statSync, unlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode } from '#error.ts'
import { withStep } from '#image/step.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestAlgorithm, parseDigest, type Digest } from '#oci/digest.ts'
import { lives } from './leases.ts'
import type { LocalStore } from './open.ts'
import { isAlive, ownerOf } from './owner.ts'
import { danglingLinks } from './logs.ts'
import { openToOthers } from './private.ts'
import { blobFiles } from './prune.ts'
import { reach, roots } from './reach.ts'
import { sweepSnapshots } from './snapshots.ts'

export interface Problem {
  readonly kind:
    | 'open-to-others'
    | 'database'
    | 'blob-damaged'
    | 'image-incomplete'
    | 'leftover'
    | 'snapshot-damaged'
    | 'snapshot-lost'
    | 'container-lost'
    | 'volume-lost'
  readonly message: string
  /** It was put right. */
  readonly repaired: boolean
}

export interface DoctorOptions {
  /** Read every blob and the tar of every mounted layer, and compare their digests. Takes as long as reading them all. */
  readonly verify?: boolean
  readonly repair?: boolean
}

/** Directories without a row are somebody's unfinished work while they are younger than this. */
const unfinishedMs = 60_000

/**
 * Looks for what must not be: damaged blobs, images of which parts are missing, rows without files and files without
 * rows. What a crash leaves is `leftover`: invisible, harmless, and removed with `repair`. Other processes may work meanwhile.
 */
export async function doctor(cx: Context, store: LocalStore, options: DoctorOptions = {}): Promise<readonly Problem[]> {
  const repair = options.repair ?? false
  const problems: Problem[] = [...openParts(store, repair), ...databaseProblems(store)]
  if (options.verify === true) problems.push(...(await damagedBlobs(cx, store, repair)), ...(await damagedTars(cx, store, repair)))
  problems.push(...incompleteImages(store, repair))
  problems.push(...leftoverFiles(store, repair))
  problems.push(...lostLogs(store, repair))
  problems.push(...lostDirectories(store, repair))
  problems.push(...(await leftoverDirectories(cx, store, repair)))
  return problems
}

/** What another user of the machine could walk into. Opening the store closes it, where that is allowed. */
function openParts(store: LocalStore, repair: boolean): Problem[] {
  return openToOthers(store.root).map(({ path, mode }) => {
    if (repair) chmodSync(path, mode)
    return { kind: 'open-to-others', message: `${path} can be entered or read by other users of this machine`, repaired: repair }
  })
}

function databaseProblems(store: LocalStore): Problem[] {
  const rows = store.database.all('PRAGMA quick_check').map((row) => String(Object.values(row)[0]))
  return rows
    .filter((text) => text !== 'ok')
    .map((text) => ({ kind: 'database', message: `stave.db is damaged: ${text}`, repaired: false }))
}

async function damagedBlobs(cx: Context, store: LocalStore, repair: boolean): Promise<Problem[]> {
  const files = blobFiles(store)
  const id = 'doctor-verify'
  return withStep(cx, { id, title: `verifying ${files.length} blobs` }, async () => {
    const problems: Problem[] = []
    for (const [position, file] of files.entries()) {
      if (await isDamaged(cx, store, file)) {
        if (repair) unlinkSync(file.path)
        problems.push({ kind: 'blob-damaged', message: `blob ${file.digest} has another content than its name says`, repaired: repair })
      }
      cx.report({ type: 'status', id, current: position + 1, total: files.length, unit: 'entries' })
    }
    return problems
  })
}

/** Reads a blob to its end. One that is gone meanwhile is not damaged. */
async function isDamaged(cx: Context, store: LocalStore, { digest, path }: ReturnType<typeof blobFiles>[number]): Promise<boolean> {
  const size = statSync(path, { throwIfNoEntry: false })?.size
  if (size === undefined) return false
  try {
    const what: Descriptor = { mediaType: 'application/octet-stream', digest, size }
    for await (const _ of store.files.stream(cx, what, 0, { recheck: true })) {
      // Reading to the end is the verification.
    }
    return false
  } catch (error) {
    if (hasCode(error, 'digest-mismatch', 'size-mismatch')) return true
    if (hasCode(error, 'blob-unknown')) return false
    throw error
  }
}

/** Layers that are mounted, whose tars are not what they were. Repaired, the row goes: the layer is made again when it is needed. */
async function damagedTars(cx: Context, store: LocalStore, repair: boolean): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const row of store.database.all("SELECT id, diff FROM snapshot WHERE form = 'index'")) {
    const [id, diff] = [String(row['id']), parseDigest(String(row['diff']))]
    const hasher = createHasher(digestAlgorithm(diff))
    try {
      for await (const chunk of createReadStream(pathOf(store, layout.snapshotTar(id)), { highWaterMark: 1 << 20, signal: cx.signal }))
        hasher.update(chunk as Buffer)
    } catch (error) {
      // Lost ones are told of elsewhere.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw error
    }
    if (hasher.digest() === diff) continue
    if (repair) store.database.run('DELETE FROM snapshot WHERE id = ?', id)
    problems.push({ kind: 'snapshot-damaged', message: `the tar of layer ${diff} has another content than was written`, repaired: repair })
  }
  return problems
}

/** A name whose image cannot be read in full. Repaired, the name goes: a pull brings all of it back. */
function incompleteImages(store: LocalStore, repair: boolean): Problem[] {
  const missing = new Map<string, Digest[]>()
  for (const { digest, within } of reach(store, roots(store)).problems) missing.set(within, [...(missing.get(within) ?? []), digest])
  return [...missing].map(([name, digests]) => ({
    kind: 'image-incomplete',
    message: `${name} lacks ${digests.slice(0, 3).join(', ')}${digests.length > 3 ? ` and ${digests.length - 3} more` : ''}`,
    repaired: repair && store.names.delete(name),
  }))
}

function leftoverFiles(store: LocalStore, repair: boolean): Problem[] {
  return entries(pathOf(store, layout.temporary))
    .filter((name) => {
      const owner = ownerOf(name)
      return owner === undefined || !isAlive(owner)
    })
    .map((name) => {
      if (repair) unlinkSync(pathOf(store, `${layout.temporary}/${name}`))
      return { kind: 'leftover', message: `${layout.temporary}/${name} was left by a process that is no more`, repaired: repair }
    })
}

/** The last build of a project whose log is gone: the next one cannot say what has changed. */
function lostLogs(store: LocalStore, repair: boolean): Problem[] {
  return danglingLinks(store).map((path) => {
    if (repair) unlinkSync(path)
    return { kind: 'leftover', message: `${layout.lastBuild(basename(path))} names a build whose log is gone`, repaired: repair }
  })
}

function lostDirectories(store: LocalStore, repair: boolean): Problem[] {
  const { database } = store
  const lost = (sql: string, pathFor: (key: string) => string) =>
    database.all(sql).filter((row) => !existsSync(pathOf(store, pathFor(String(row['key'])))))
  const problems: Problem[] = []
  const ofIndex = "SELECT id AS key, chain FROM snapshot WHERE form = 'index'"
  const halves = new Set([...lost(ofIndex, layout.snapshotTree), ...lost(ofIndex, layout.snapshotTar)].map((row) => JSON.stringify(row)))
  for (const row of [...halves].map((text) => JSON.parse(text) as { key: string; chain: string })) {
    if (repair) database.run('DELETE FROM snapshot WHERE id = ?', row.key)
    problems.push({ kind: 'snapshot-lost', message: `the mounted layer of ${row.chain} is gone`, repaired: repair })
  }
  for (const row of lost("SELECT id AS key, chain FROM snapshot WHERE form = 'tree'", layout.snapshot)) {
    if (repair) database.run('DELETE FROM snapshot WHERE id = ?', row['key']!)
    problems.push({ kind: 'snapshot-lost', message: `the tree of layer stack ${String(row['chain'])} is gone`, repaired: repair })
  }
  for (const row of lost('SELECT id AS key, name FROM container', layout.container)) {
    if (repair) database.run('DELETE FROM container WHERE id = ?', row['key']!)
    problems.push({ kind: 'container-lost', message: `the files of the container ${String(row['name'])} are gone`, repaired: repair })
  }
  for (const row of lost('SELECT name AS key FROM volume', layout.volume)) {
    if (repair) database.run('DELETE FROM volume WHERE name = ?', row['key']!)
    problems.push({ kind: 'volume-lost', message: `the files of the volume ${String(row['key'])} are gone`, repaired: repair })
  }
  return problems
}

async function leftoverDirectories(cx: Context, store: LocalStore, repair: boolean): Promise<Problem[]> {
  const { database } = store
  const living = new Map<string, boolean>()
  const pending = database.all('SELECT id, pid, start FROM pending').filter((row) => lives(row, living))
  const known = new Set([...pending, ...database.all('SELECT id FROM snapshot')].map((row) => String(row['id'])))
  const snapshots = entries(pathOf(store, layout.snapshots))
    .filter((id) => !known.has(id))
    .map(layout.snapshot)
  if (repair && snapshots.length > 0) await sweepSnapshots(cx, { ...store, blobs: store.files })

  const rows = (table: string, key: string) => new Set(database.all(`SELECT ${key} AS key FROM ${table}`).map((row) => String(row['key'])))
  const [containers, volumes] = [rows('container', 'id'), rows('volume', 'name')]
  const others = [
    ...entries(pathOf(store, layout.containers))
      .filter((id) => !containers.has(id))
      .map(layout.container),
    ...entries(pathOf(store, layout.volumes))
      .filter((name) => !volumes.has(name))
      .map(layout.volume),
  ].filter((path) => {
    const stat = statSync(pathOf(store, path), { throwIfNoEntry: false })
    return stat !== undefined && Date.now() - stat.ctimeMs > unfinishedMs
  })
  if (repair && others.length > 0) await store.runner.remove(cx, { trees: others.map((path) => placeOf(store, path)) })
  return [...snapshots, ...others].map((path) => ({ kind: 'leftover', message: `${path} belongs to nothing`, repaired: repair }))
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
