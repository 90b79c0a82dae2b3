import { closeSync, constants, createWriteStream, lstatSync, openSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { CopyRequest, Place, Selection } from '#runner/protocol.ts'
import { isAlive } from '#store/owner.ts'
import type { LocalStore } from '#store/open.ts'
import { pathOf } from '#store/layout.ts'
import type { ContainerRecord } from './container.ts'
import { cleanTarget } from './mount.ts'
import { readState, readStatus } from './status.ts'
import { upperTree, wholeTree } from './tree.ts'
import { volumePlace } from './volume.ts'

export interface CopyInOptions {
  /** Keep owners. Else all belongs to the container's root (Docker's rule). */
  readonly archive?: boolean
  /** Copy what a link leads to, in place of the link. */
  readonly follow?: boolean
}

/**
 * Copies a file or directory of this machine into a container, running or not, by Docker's rules: into a directory that
 * is there, else under the new name beside what is there; `path/.` means what is in the directory. A link at the target is
 * followed inside the container.
 *
 * @param typed Absolute; a slash or `/.` at its end counts.
 * @throws StaveError `not-found` where there is no such file, or no directory to copy to; `conflict`
 */
export async function copyFromDirectory(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  typed: string,
  target: string,
  options: CopyInOptions = {},
): Promise<void> {
  const source = (options.follow === true ? statSync : lstatSync)(typed, { throwIfNoEntry: false })
  if (source === undefined) throw new StaveError('not-found', `cannot copy ${typed}: there is no such file`)
  const contents = /(^|\/)\.$/.test(typed) || cleanTarget(typed) === '/'
  const isDirectory = contents || source.isDirectory()
  if (!isDirectory && typed.endsWith('/')) throw new StaveError('conflict', `cannot copy ${typed}: it is not a directory`)
  const path = cleanTarget(typed)
  const fd = openSync(contents ? path : dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const name = contents ? '.' : basename(path)
    const from = { kind: 'directory', root: { fd } } as const
    // Named by way of a pivot, a link is taken as it is.
    const selection: Selection =
      isDirectory || options.follow === true
        ? { from, sources: [name], literal: true }
        : { from, sources: [`./${name}`], literal: true, parents: true }
    const items = [{ kind: 'select' as const, selection }]
    await place(cx, store, container, target, {
      items,
      rule: contents ? 'cp-contents' : 'cp',
      ...(options.archive !== true && { chown: '0:0' }),
    })
  } finally {
    closeSync(fd)
  }
}

/**
 * Unpacks a tar, compressed or not, into a directory of a container. Owners are those that the tar has.
 *
 * @throws StaveError `not-found` if there is no such directory, `invalid-layer` if it is no tar
 */
export async function copyFromTar(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  tar: Readable,
  target: string,
): Promise<void> {
  await withTar(cx, store, tar, `${container.name}:${target}`, (items) =>
    place(cx, store, container, `${target}/`, { items, rule: 'cp-contents' }),
  )
}

/**
 * Unpacks a tar, compressed or not, into a volume, beside what is there.
 *
 * @throws StaveError `invalid-layer` if it is no tar
 */
export async function importVolume(cx: Context, store: LocalStore, name: string, tar: Readable): Promise<void> {
  const root = volumePlace(store, name)
  await withTar(cx, store, tar, `the volume ${name}`, async (items) => {
    await store.runner.copy(cx, { items, rule: 'cp-contents', base: [root], plain: root, to: '/' })
  })
}

/** A tar can be unpacked once it is a file. */
async function withTar(
  cx: Context,
  store: LocalStore,
  tar: Readable,
  target: string,
  act: (items: CopyRequest['items']) => Promise<void>,
): Promise<void> {
  const blob = await store.blobs.temporary()
  try {
    await pipeline(tar, createWriteStream(pathOf(store, blob.path)), { signal: cx.signal })
    await act([{ kind: 'file', name: 'tar', file: blob, mode: 0o644, unpack: true }])
  } catch (error) {
    if (!hasCode(error, 'invalid-layer')) throw error
    throw new StaveError('invalid-layer', `cannot copy to ${target}: ${error.message}`, {
      cause: error,
      hint: 'It takes a tar, compressed or not: tar -c FILE | stave cp - CONTAINER:DIRECTORY',
    })
  } finally {
    await store.blobs.discard(blob)
  }
}

async function place(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  target: string,
  copy: Pick<CopyRequest, 'items' | 'rule' | 'chown'>,
): Promise<void> {
  const slash = target.endsWith('/') || target.endsWith('/.') ? '/' : ''
  const { base, plain, inside, close } = await placeIn(cx, store, container, cleanTarget(target))
  try {
    await store.runner.copy(cx, { ...copy, base, plain, to: inside === '/' ? inside : `${inside}${slash}` })
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    throw new StaveError('not-found', `cannot copy to ${container.name}:${target}: ${error.message}`, { cause: error })
  } finally {
    close()
  }
}

interface PlaceInside {
  /** What is there already, and where what is new goes. */
  readonly base: readonly Place[]
  readonly plain: Place
  readonly inside: string
  close(): void
}

/** A container that runs has its root open, mounts and all; of another one it is put together from its parts. */
async function placeIn(cx: Context, store: LocalStore, container: ContainerRecord, path: string): Promise<PlaceInside> {
  const running = openRoot(store, container)
  if (running !== undefined) return { base: [{ fd: running }], plain: { fd: running }, inside: path, close: () => closeSync(running) }
  const mounts = container.spec.mounts.filter(({ target }) => path === target || path.startsWith(`${target}/`))
  const mount = mounts.toSorted((one, other) => other.target.length - one.target.length)[0]
  const inside = `/${path.slice((mount?.target.length ?? 0) + 1)}`
  if (mount === undefined)
    return { base: await wholeTree(cx, store, container), plain: upperTree(store, container), inside: path, close() {} }
  if (mount.type === 'volume' && mount.name !== undefined) {
    const root = volumePlace(store, mount.name)
    return { base: [root], plain: root, inside, close() {} }
  }
  if (mount.type === 'bind' && statSync(mount.source, { throwIfNoEntry: false })?.isDirectory() === true) {
    const fd = openSync(mount.source, constants.O_RDONLY | constants.O_DIRECTORY)
    return { base: [{ fd }], plain: { fd }, inside, close: () => closeSync(fd) }
  }
  throw new StaveError('container-state', `cannot copy to ${container.name}:${path}: ${mount.target} is there only while it runs`, {
    hint: `Start it first: stave start ${container.name}`,
  })
}

function openRoot(store: LocalStore, container: ContainerRecord): number | undefined {
  const { state, pid } = readStatus(store, container)
  if (pid === undefined || (state !== 'running' && state !== 'paused')) return undefined
  const fd = openSync(`/proc/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY)
  // Opened first, compared then: if the start time fits now, it is the container's.
  const start = readState(store, container.id)?.pidStart
  if (start !== undefined && isAlive({ pid, start })) return fd
  closeSync(fd)
  return undefined
}
