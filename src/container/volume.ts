import { layout, pathOf, placeOf, volumeFilesName } from '#store/layout.ts'
import { lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync } from 'node:fs'
import { posix } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Place } from '#runner/protocol.ts'
import { withClaim } from '#store/claim.ts'
import type { LocalStore } from '#store/open.ts'
import { makePrivateDirectory } from '#store/private.ts'
import { randomHex } from '#store/random.ts'
import * as limit from '#limit.ts'
import { isVolumeName } from './mount.ts'

/** A directory that outlives containers. */
export interface Volume {
  readonly name: string
  readonly createdAt: string
  readonly labels: Readonly<Record<string, string>>
  /** Made for one container, which did not name it. */
  readonly anonymous: boolean
}

/** Makes a volume; one that is there already is returned as it is. */
export function createVolume(
  store: LocalStore,
  options: { readonly name?: string; readonly labels?: Readonly<Record<string, string>> } = {},
): Volume {
  const name = options.name ?? randomHex(32)
  if (!isVolumeName(name)) {
    throw new StaveError(
      'usage',
      `cannot name a volume ${JSON.stringify(name)}: names begin with a letter or digit, then also have _ . and -`,
    )
  }
  const volume: Volume = { name, createdAt: new Date().toISOString(), labels: options.labels ?? {}, anonymous: options.name === undefined }
  makePrivateDirectory(pathOf(store, layout.volume(name)))
  // The container sees this one, with the usual mode; who can come to it is decided above.
  mkdirSync(volumePath(store, name), { recursive: true })
  store.database.run('INSERT OR IGNORE INTO volume (name, record, created) VALUES (?, ?, ?)', name, JSON.stringify(volume), Date.now())
  return getVolume(store, name) ?? volume
}

export function getVolume(store: LocalStore, name: string): Volume | undefined {
  const row = store.database.get('SELECT record FROM volume WHERE name = ?', name)
  return row === undefined ? undefined : (JSON.parse(String(row['record'])) as Volume)
}

/** @throws StaveError `not-found` */
export function findVolume(store: LocalStore, name: string): Volume {
  const volume = getVolume(store, name)
  if (volume !== undefined) return volume
  throw new StaveError('not-found', `cannot find the volume ${name}`, { hint: 'stave volume ls lists them.' })
}

/** By name. */
export function listVolumes(store: LocalStore): Volume[] {
  return store.database.all('SELECT record FROM volume ORDER BY name').map((row) => JSON.parse(String(row['record'])) as Volume)
}

export function volumePlace(store: LocalStore, name: string): Place {
  return placeOf(store, layout.volumeFiles(name))
}

/** Where its files are, for a person. */
export function volumePath(store: LocalStore, name: string): string {
  return pathOf(store, layout.volumeFiles(name))
}

/** @throws StaveError `not-found`; `in-use` while a container, running or not, has it */
export async function removeVolume(cx: Context, store: LocalStore, name: string): Promise<void> {
  findVolume(store, name)
  const users = volumeUsers(store).get(name)
  if (users !== undefined) {
    throw new StaveError('in-use', `cannot remove the volume ${name}: ${users.join(', ')} use${users.length === 1 ? 's' : ''} it`, {
      hint: 'Remove the container first: stave rm.',
    })
  }
  await store.runner.remove(cx, { trees: [placeOf(store, layout.volume(name))] })
  store.database.run('DELETE FROM volume WHERE name = ?', name)
}

/** Removes the anonymous volumes that no container has; with `all` the named ones too. Returns their names. */
export async function pruneVolumes(cx: Context, store: LocalStore, options: { readonly all?: boolean } = {}): Promise<string[]> {
  const users = volumeUsers(store)
  const unused = listVolumes(store).filter((volume) => !users.has(volume.name) && (volume.anonymous || options.all === true))
  for (const { name } of unused) await removeVolume(cx, store, name)
  return unused.map((volume) => volume.name)
}

/** Whether a container, running or not, has it. */
export function isVolumeUsed(store: LocalStore, name: string): boolean {
  return volumeUsers(store).has(name)
}

/** Names of containers, by the name of the volume that they have. */
function volumeUsers(store: LocalStore): Map<string, string[]> {
  const users = new Map<string, string[]>()
  const rows = store.database.all(
    `SELECT container.name AS container, json_extract(mount.value, '$.name') AS volume FROM container, json_each(container.record, '$.spec.mounts') AS mount
     WHERE json_extract(mount.value, '$.type') = 'volume'`,
  )
  for (const row of rows) {
    const volume = String(row['volume'])
    users.set(volume, [...(users.get(volume) ?? []), String(row['container'])])
  }
  return users
}

/**
 * Fills an empty volume with what an image has at `target`: content, and owner and mode of the directory itself. It
 * happens once; a volume with anything in it is left alone (Docker's rule).
 *
 * @param lowers The image's trees, top first.
 */
export async function fillVolume(cx: Context, store: LocalStore, name: string, lowers: readonly Place[], target: string): Promise<void> {
  const data = volumePath(store, name)
  if (lowers.length === 0 || !isEmpty(data)) return
  await withClaim(cx, store.database, [`volume:${name}`], async () => {
    let path = target
    // The volume is mounted where a link leads, so what is there is what it begins with.
    for (let links = 0; links <= limit.links && isEmpty(data); links++) {
      const link = await fillFrom(cx, store, name, lowers, path)
      if (link === undefined) return
      path = posix.resolve(posix.dirname(path), link)
    }
  })
}

/** @returns the text of the link, if `path` is one in the image */
async function fillFrom(cx: Context, store: LocalStore, name: string, lowers: readonly Place[], path: string): Promise<string | undefined> {
  const base = posix.basename(path)
  if (base === '') return undefined
  const parent = posix.dirname(path)
  // With parents, the path behind the pivot `/./` is made with its own metadata, and not only what is in it. It lands
  // beside the empty directory, which it then replaces in one step: from another parent, a directory that belongs to
  // a subordinate id could not be renamed (its `..` would change).
  const selection = {
    from: { kind: 'lowers', lowers } as const,
    sources: [`${parent === '/' ? '' : parent}/./${base}`],
    literal: true,
    parents: true,
  }
  const place = placeOf(store, layout.volume(name))
  const landed = pathOf(store, `${layout.volume(name)}/${base}`)
  const take = () => store.runner.remove(cx, { trees: [placeOf(store, `${layout.volume(name)}/${base}`)] })
  try {
    await store.runner.copy(cx, { base: [], items: [{ kind: 'select', selection }], to: '/', parents: true, plain: place })
  } catch (error) {
    if (base !== volumeFilesName) await take()
    // The image has nothing there (VOLUME makes no directory): the volume stays empty.
    if (!hasCode(error, 'not-found') && (error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error
    return undefined
  }
  if (base === volumeFilesName) return undefined
  const stat = lstatSync(landed, { throwIfNoEntry: false })
  const link = stat?.isSymbolicLink() ? readlinkSync(landed) : undefined
  if (stat?.isDirectory()) renameSync(landed, volumePath(store, name))
  // A file: the volume stays empty, and cannot be mounted there, which is said when it is tried.
  else await take()
  return link
}

function isEmpty(data: string): boolean {
  try {
    return readdirSync(data).length === 0
  } catch (error) {
    // One that belongs to a subordinate id, and to nobody else, was filled: an empty one is this user's.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return false
    throw error
  }
}
