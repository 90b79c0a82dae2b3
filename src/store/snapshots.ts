import { layout } from './layout.ts'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { background, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Image, Layer } from '#image/image.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { withStep } from '#image/step.ts'
import { compressionOf, isLayer } from '#oci/media-type.ts'
import type { LayerForm, UnpackLayer, UnpackRequest } from '#runner/protocol.ts'
import type { Job, Runner } from '#runner/runner.ts'
import type { BlobFiles } from './blobs.ts'
import { withClaim } from './claim.ts'
import type { Database, Row } from './database.ts'
import { lives } from './leases.ts'
import { bootId, self } from './owner.ts'
import { makePrivateDirectory } from './private.ts'
import { randomHex } from './random.ts'
import type { Snapshot, Snapshots } from './store.ts'

/** What the kernel was given is on the disk after this long (dirty_expire_centisecs is 30 s, and a flush every 5). */
const settledMs = 60_000
/** The time of use is renewed only this often, so that starting a container need not write. Prune allows for it. */
export const renewMs = 5 * 60_000

/**
 * Layers are unpacked (`dir`), or kept as their tars with an index that the kernel mounts (`erofs`), or that where this
 * machine can do it.
 */
export type StorageDriver = 'auto' | 'dir' | 'erofs'

export interface SnapshotOptions {
  readonly root: string
  readonly directory: number
  readonly database: Database
  readonly blobs: BlobFiles
  readonly runner: Runner
  /** What layers are made into. Default: `dir`. */
  readonly driver?: StorageDriver
  /** Called before this process relies on a tree: see `registerWriter`. */
  readonly onUse?: () => void
}

/** What a row says of how a layer lies there. */
interface Made {
  readonly form: 'tree' | 'index'
  /** Absent: as much as the layer's record in the build cache says. */
  readonly bytes?: number
}

/**
 * Names the stack of a layer and all below it.
 *
 * @see image-spec, "Layer ChainID"
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chains: Digest[] = []
  for (const diffId of diffIds) {
    const below = chains.at(-1)
    chains.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`))
  }
  return chains
}

/**
 * Snapshots are directories `snapshots/<id>`, with the layer unpacked or its tar and an index. One counts as there only if a row says so, and the row comes last.
 * A directory that is being made has a row in `pending` instead, which names its maker; one with neither is garbage.
 */
export function createSnapshots(options: SnapshotOptions): Snapshots & { settle(): Promise<void> } {
  const { database, driver } = options
  const keeper: Keeper = { options, sweeping: undefined, mounts: undefined }
  return {
    async ensure(cx, image) {
      options.onUse?.()
      const chains = await chainsOf(cx, database, image)
      await checkMounts(cx, keeper, chains)
      for (;;) {
        const have = lookUp(keeper, chains)
        if (have.size === chains.length) return chains.map((chain) => snapshotOf(keeper, have.get(chain)!))
        sweepOnce(cx, keeper)
        const missing = chains.filter((chain) => !have.has(chain))
        await withClaim(cx, database, missing, async () => {
          // Another process may have finished between the question and the claim.
          const now = lookUp(keeper, chains)
          if (missing.some((chain) => !now.has(chain))) await unpack(cx, keeper, await image.layers(cx), chains, now)
        })
      }
    },
    get(chain) {
      options.onUse?.()
      const top = chainIds(chain).at(-1)
      const id = top === undefined ? undefined : lookUp(keeper, [top]).get(top)
      return id === undefined ? undefined : snapshotOf(keeper, id)
    },
    find(ids) {
      options.onUse?.()
      const sql = 'SELECT form, boot FROM snapshot WHERE id IN (SELECT value FROM json_each(?))'
      const isUsable = (row: Row) =>
        row['form'] === 'tree' ||
        (knows(row['form']) && (driver === 'erofs' || (!unpacks(keeper) && (keeper.mounts === true || row['boot'] === bootId()))))
      return database.all(sql, JSON.stringify(ids)).filter(isUsable).length === ids.length
        ? ids.map((id) => snapshotOf(keeper, id))
        : undefined
    },
    async create() {
      options.onUse?.()
      sweepOnce(background, keeper)
      const id = createDirectory(keeper)
      return { id, place: placeOfId(keeper, id), form: formOf(keeper) }
    },
    async commit(id, chain, made) {
      const chains = chainIds(chain)
      const top = chains.at(-1)
      if (top === undefined) throw new TypeError('a snapshot needs at least one layer')
      return database.transaction(() => {
        const other = lookUp(keeper, [top]).get(top)
        // The loser's directory may be in use as a lower: it stays pending until this process ends, and is swept then.
        if (other !== undefined) return snapshotOf(keeper, other)
        insert(database, { id, chains, position: chains.length - 1, diff: chain.at(-1)!, made: made ?? { form: 'tree' } })
        return snapshotOf(keeper, id)
      })
    },
    discard: (id) => discardAll(background, keeper, [id]),
    async settle() {
      await keeper.sweeping
    },
  }
}

interface Keeper {
  readonly options: SnapshotOptions
  sweeping: Promise<unknown> | undefined
  /** Whether indexes of an earlier boot can be mounted in this one, once somebody had to know. */
  mounts: boolean | undefined
}

function unpacks({ options: { driver = 'dir' }, mounts }: Keeper): boolean {
  return driver === 'dir' || (driver === 'auto' && mounts === false)
}

/** What new layers become. */
function formOf(keeper: Keeper): LayerForm {
  if (unpacks(keeper)) return 'tree'
  return keeper.options.driver === 'erofs' ? 'index' : 'either'
}

function placeOfId({ options: { directory } }: Keeper, id: string): Snapshot['place'] {
  return { fd: directory, path: layout.snapshot(id) }
}

function snapshotOf({ options: { directory } }: Keeper, id: string): Snapshot {
  return { id, place: { fd: directory, path: layout.snapshotTree(id) } }
}

/** The ids of those chains that are unpacked and can be trusted. One query. */
function lookUp(keeper: Keeper, chains: readonly Digest[]): Map<string, string> {
  const { database } = keeper.options
  const found = new Map<string, string>()
  const renew: string[] = []
  const now = Date.now()
  const rows = database.all(
    'SELECT chain, id, boot, settled, created, used, form FROM snapshot WHERE chain IN (SELECT value FROM json_each(?))',
    JSON.stringify(chains),
  )
  for (const row of rows) {
    if (!knows(row['form']) || (row['form'] === 'index' && unpacks(keeper))) continue
    if (row['settled'] === 0) {
      // Its row survived a power loss, but the files may not have: unpack it again.
      if (row['boot'] !== bootId()) continue
      if (now - Number(row['created']) > settledMs) renew.push(String(row['chain']))
    } else if (now - Number(row['used']) > renewMs) renew.push(String(row['chain']))
    found.set(String(row['chain']), String(row['id']))
  }
  if (renew.length > 0) {
    // Settled only by the time since it was made: that rows are renewed later does not matter.
    database.run(
      'UPDATE snapshot SET used = ?, settled = settled OR created < ? WHERE chain IN (SELECT value FROM json_each(?))',
      now,
      now - settledMs,
      JSON.stringify(renew),
    )
  }
  return found
}

/**
 * Asks the machine, once, before indexes of an earlier boot are relied on: the kernel or the machine may be another
 * one now. Those that can be mounted count as this boot's. Others are unpacked again.
 */
async function checkMounts(cx: Context, keeper: Keeper, chains: readonly Digest[]): Promise<void> {
  const { database, driver, runner } = keeper.options
  if (keeper.mounts !== undefined || driver !== 'auto') return
  const sql = "SELECT 1 FROM snapshot WHERE form = 'index' AND boot <> ? AND settled AND chain IN (SELECT value FROM json_each(?)) LIMIT 1"
  if (database.get(sql, bootId(), JSON.stringify(chains)) === undefined) return
  keeper.mounts = (await runner.probe(cx)).erofs
  if (keeper.mounts) database.run("UPDATE snapshot SET boot = ? WHERE form = 'index' AND settled", bootId())
}

/** A directory that is being made by this process. @returns its id */
function createDirectory({ options: { database, root } }: Keeper): string {
  const id = randomHex(8)
  const { pid, start } = self()
  database.run('INSERT INTO pending (id, pid, start) VALUES (?, ?, ?)', id, pid, start)
  makePrivateDirectory(join(root, layout.snapshot(id)))
  return id
}

/** A layer that was made: `chains[position]` of a stack. */
interface NewSnapshot {
  readonly id: string
  readonly chains: readonly Digest[]
  readonly position: number
  readonly diff: Digest
  readonly made: Made
}

/** The row that makes a directory a snapshot. A row of an earlier boot that is not trusted gives way. */
function insert(database: Database, { id, chains, position, diff, made }: NewSnapshot): void {
  const now = Date.now()
  database.run('DELETE FROM pending WHERE id = ?', id)
  database.run(
    'INSERT OR REPLACE INTO snapshot (chain, id, parent, diff, bytes, boot, settled, created, used, form) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)',
    chains[position]!,
    id,
    chains[position - 1] ?? null,
    diff,
    made.bytes ?? null,
    bootId(),
    now,
    now,
    made.form,
  )
}

/** Makes the layers that are missing of a stack, all at once. */
async function unpack(
  cx: Context,
  keeper: Keeper,
  layers: readonly Layer[],
  chains: readonly Digest[],
  have: ReadonlyMap<string, string>,
): Promise<void> {
  const { database, blobs } = keeper.options
  // Below the first missing one all are there; above it, one that is there is unpacked again only if it must be
  // (after an eviction in the middle): layers[] of the job has to be a continuous stack.
  const first = chains.findIndex((chain) => !have.has(chain))
  const stack = layers.slice(first)
  for (const { descriptor } of stack) checkBlob(blobs, descriptor)
  const ids = stack.map(() => createDirectory(keeper))
  const isExtra = (position: number): boolean => have.has(chains[first + position]!)
  const title = `unpacking ${stack.length} layer${stack.length === 1 ? '' : 's'}`
  await withStep(cx, { id: `unpack-${ids[0]!}`, title }, async () => {
    try {
      const below = chains.slice(0, first).map((chain) => have.get(chain)!)
      const made = await make(cx, keeper, unpackJob(keeper, stack, ids, below), ids)
      database.transaction(() => {
        stack.forEach(({ diffId }, position) => {
          if (isExtra(position)) return
          insert(database, { id: ids[position]!, chains, position: first + position, diff: diffId, made: made[position]! })
        })
      })
      await discardAll(
        cx,
        keeper,
        ids.filter((_, position) => isExtra(position)),
      )
    } catch (error) {
      // Cancellation must not keep the directories from being removed.
      await discardAll({ ...background, report: (event) => cx.report(event) }, keeper, ids).catch((cleanup: unknown) => {
        throw new SuppressedError(cleanup, error)
      })
      throw error
    }
  })
}

/** @param below The ids of what the stack stands on, lowest first */
function unpackJob(keeper: Keeper, stack: readonly Layer[], ids: readonly string[], below: readonly string[]): Job<UnpackRequest> {
  const { blobs } = keeper.options
  return {
    lowers: below.toReversed().map((id) => snapshotOf(keeper, id).place),
    layers: stack.map(({ descriptor: { digest, size, mediaType }, diffId }, position): UnpackLayer => ({
      blob: blobs.place(digest),
      compression: compressionOf(mediaType),
      digest,
      size,
      diffID: diffId,
      into: placeOfId(keeper, ids[position]!),
    })),
  }
}

/** Makes the layers of a job in `ids`. What cannot be mounted is unpacked, once all below it is there. */
async function make(cx: Context, keeper: Keeper, job: Job<UnpackRequest>, ids: readonly string[]): Promise<readonly Made[]> {
  const { runner } = keeper.options
  const { layers } = await runner.unpack(cx, { ...job, form: formOf(keeper) })
  const made: Made[] = []
  for (const [position, result] of layers.entries()) {
    if (result.form !== 'none') {
      made.push(result)
      continue
    }
    const layer = job.layers[position]!
    cx.report({ type: 'debug', message: `layer ${layer.digest} is unpacked and not mounted: ${result.why}` })
    const below = ids.slice(0, position).map((id) => snapshotOf(keeper, id).place)
    const again = await runner.unpack(cx, { lowers: [...below.reverse(), ...job.lowers], layers: [layer], form: 'tree' })
    made.push(...again.layers.filter((tree) => tree.form !== 'none'))
  }
  return made
}

async function discardAll(cx: Context, keeper: Keeper, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const { runner, database } = keeper.options
  await runner.remove(cx, { trees: ids.map((id) => placeOfId(keeper, id)) })
  for (const id of ids) database.run('DELETE FROM pending WHERE id = ?', id)
}

/** Clears up after crashed processes, beside the work and once in each process. */
function sweepOnce(cx: Context, keeper: Keeper): void {
  keeper.sweeping ??= sweepSnapshots(cx, keeper.options).catch((error: unknown) => {
    if (!cx.signal.aborted) cx.report({ type: 'warning', message: `cannot remove what a crashed process left: ${String(error)}` })
  })
}

/** The chain ids of an image. They follow from its config, so they are kept: hashing means loading Node's `crypto`. */
async function chainsOf(cx: Context, database: Database, image: Image): Promise<readonly Digest[]> {
  const config = image.manifest.config.digest
  const row = database.get('SELECT chains FROM stack WHERE config = ?', config)
  if (row !== undefined) return JSON.parse(String(row['chains'])) as Digest[]
  const chains = chainIds((await image.layers(cx)).map((layer) => layer.diffId))
  database.run('INSERT OR REPLACE INTO stack (config, chains) VALUES (?, ?)', config, JSON.stringify(chains))
  return chains
}

/** Forms of another version of stave are made anew. */
function knows(form: unknown): boolean {
  return form === 'tree' || form === 'index'
}

function checkBlob(blobs: BlobFiles, descriptor: { digest: Digest; size: number; mediaType: string }): void {
  if (!isLayer(descriptor.mediaType)) {
    throw new StaveError(
      'unsupported',
      `cannot unpack layer ${descriptor.digest}: its media type ${descriptor.mediaType} is not that of a file system layer`,
    )
  }
  if (!blobs.touch(descriptor.digest, descriptor.size)) {
    throw new StaveError('blob-unknown', `cannot unpack layer ${descriptor.digest}: the store does not have it`, {
      hint: 'Pull the image again.',
    })
  }
}

/** Removes directories that are neither snapshots nor being made by a living process. */
export async function sweepSnapshots(cx: Context, options: SnapshotOptions): Promise<number> {
  const { root, database, directory, runner } = options
  if (!existsSync(join(root, layout.snapshots))) return 0
  const garbage = database.transaction(() => {
    const known = new Set(database.all('SELECT id FROM snapshot').map((row) => String(row['id'])))
    const living = new Map<string, boolean>()
    for (const row of database.all('SELECT id, pid, start FROM pending')) if (lives(row, living)) known.add(String(row['id']))
    return readdirSync(join(root, layout.snapshots)).filter((id) => !known.has(id))
  })
  if (garbage.length === 0) return 0
  await runner.remove(cx, { trees: garbage.map((id) => ({ fd: directory, path: layout.snapshot(id) })) })
  database.transaction(() => {
    for (const id of garbage) database.run('DELETE FROM pending WHERE id = ?', id)
  })
  return garbage.length
}
