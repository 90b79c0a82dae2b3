import { pathOf } from '#store/layout.ts'
import {
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  mkdtempSync,
  openSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  type Stats,
} from 'node:fs'
import { basename, dirname, join, posix, resolve } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import type { Selection, Tree } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import * as limit from '#limit.ts'
import type { ContainerRecord } from './container.ts'
import { cleanTarget } from './mount.ts'
import { wholeTree } from './tree.ts'
import { volumePlace } from './volume.ts'

/** Makes a tar of all that a container sees of its root, without mounts. `use` has it until it is done. */
export async function exportContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  use: (tar: string) => Promise<void>,
): Promise<void> {
  const lowers = await wholeTree(cx, store, container)
  await tarOf(cx, store, { from: { kind: 'lowers', lowers }, sources: ['.'] }, use)
}

/** Makes a tar of what is in a volume. */
export async function exportVolume(cx: Context, store: LocalStore, name: string, use: (tar: string) => Promise<void>): Promise<void> {
  await tarOf(cx, store, { from: { kind: 'directory', root: volumePlace(store, name) }, sources: ['.'] }, use)
}

/** Makes a tar of one path, which is in it under its last name. */
export async function copyToTar(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  path: string,
  use: (tar: string) => Promise<void>,
): Promise<void> {
  await withSelection(cx, store, container, path, true, (selection) => tarOf(cx, store, selection, use))
}

/**
 * Copies a path out of a container, running or not, by Docker's rules: into a directory that is there, else under a new
 * name beside it; `path/.` means what is in the directory. What is copied belongs to the caller, and nothing of it runs
 * as the caller for others (setuid). A link at the target is followed and stays; a device, FIFO or socket there is never
 * replaced.
 *
 * @param archive Keep owners and modes as they are in it.
 * @throws StaveError `not-found` where there is no such path, or no directory to copy to; `conflict` on a device
 */
export async function copyToDirectory(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  path: string,
  typed: string,
  archive = false,
): Promise<void> {
  const named = cleanTarget(path) !== '/' && !/(^|\/)\.$/.test(path)
  const { target, into } = await withFileErrors(`copy to ${typed}`, async () => {
    const found = followLinks(typed)
    return { target: found, into: statSync(found, { throwIfNoEntry: false }) }
  })
  if (into !== undefined && !into.isDirectory() && !into.isFile()) {
    throw new StaveError('conflict', `cannot copy to ${typed}: it is ${kindOf(into)}, and neither a directory nor a regular file`, {
      hint: `With - in place of it, a tar goes to stdout: stave cp ${container.name}:${path} - | tar -xO`,
    })
  }
  const copyInto = async (directory: string) => {
    const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await withSelection(cx, store, container, path, named, async (selection) => {
        const items = [{ kind: 'select' as const, selection }]
        await store.runner.copy(cx, {
          base: [],
          items,
          to: '/',
          ...(!archive && { chown: '0:0', chmod: 'ug-s' }),
          ...(named && { parents: true }),
          plain: { fd },
        })
      })
    } finally {
      closeSync(fd)
    }
  }
  if (into?.isDirectory()) return copyInto(target)
  if (!statSync(dirname(target), { throwIfNoEntry: false })?.isDirectory() || target.endsWith('/'))
    throw new StaveError('not-found', `cannot copy to ${target}: there is no such directory`)
  // Made beside it, so that it comes into place in one step and whole.
  const scratch = mkdtempSync(join(dirname(target), '.stave-cp-'))
  try {
    chmodSync(scratch, 0o755)
    await copyInto(scratch)
    renameSync(named ? join(scratch, basename(cleanTarget(path))) : scratch, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error
    throw new StaveError('conflict', `cannot copy to ${target}: it is a file, and ${path} a directory`, { cause: error })
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Where a name leads, also if nothing is there yet. A slash at its end stays: it says that this is a directory. */
function followLinks(typed: string): string {
  let path = typed
  for (let links = 0; lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true; links++) {
    if (links === limit.links) throw new StaveError('conflict', `cannot copy to ${typed}: its links lead round in a circle`)
    path = resolve(dirname(path), readlinkSync(path))
  }
  return path
}

function kindOf(stat: Stats): string {
  if (stat.isFIFO()) return 'a FIFO'
  return stat.isSocket() ? 'a socket' : 'a device'
}

async function tarOf(cx: Context, store: LocalStore, selection: Selection, use: (tar: string) => Promise<void>): Promise<void> {
  const blob = await store.blobs.temporary()
  try {
    const items = [{ kind: 'select' as const, selection }]
    const layer = { blob, compression: 'none' as const }
    await store.runner.copy(cx, { base: [], items, to: '/', ...(selection.parents && { parents: true }), layer })
    await use(pathOf(store, blob.path))
  } finally {
    await store.blobs.discard(blob)
  }
}

/** A path as something to copy: with its last name if `named`, else what is in it. */
async function withSelection(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  path: string,
  named: boolean,
  act: (selection: Selection) => Promise<void>,
): Promise<void> {
  const { from, inside, close } = await treeOf(cx, store, container, cleanTarget(path))
  try {
    const parent = posix.dirname(inside)
    // With parents, what lies behind the pivot `/./` keeps its name.
    const source = named ? `${parent === '/' ? '' : parent}/./${posix.basename(inside)}` : inside
    await act({ from, sources: [source], literal: true, ...(named && { parents: true }) })
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    throw new StaveError('not-found', `cannot find ${path} in the container ${container.name}`, { cause: error })
  } finally {
    close()
  }
}

/** Where a path really lies: in the container's own tree, or in the volume or directory that is mounted above it. */
async function treeOf(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  path: string,
): Promise<{ readonly from: Tree; readonly inside: string; close(): void }> {
  const mounts = container.spec.mounts.filter(({ target }) => path === target || path.startsWith(`${target}/`))
  const mount = mounts.toSorted((one, other) => other.target.length - one.target.length)[0]
  const rest = (target: string) => path.slice(target.length)
  if (mount?.type === 'volume' && mount.name !== undefined && rest(mount.target) !== '') {
    const root = volumePlace(store, mount.name)
    return { from: { kind: 'directory', root }, inside: rest(mount.target), close() {} }
  }
  if (mount?.type === 'bind' && rest(mount.target) !== '') {
    const fd = openSync(mount.source, constants.O_RDONLY | constants.O_DIRECTORY)
    return { from: { kind: 'directory', root: { fd } }, inside: rest(mount.target), close: () => closeSync(fd) }
  }
  return { from: { kind: 'lowers', lowers: await wholeTree(cx, store, container) }, inside: path, close() {} }
}
