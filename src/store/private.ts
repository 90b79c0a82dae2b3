/**
 * A store is for its owner alone. It holds programs with the setuid bit and device nodes of images, secrets of
 * containers in its database, and files of volumes: whoever could walk into it could use them (CVE-2021-41091).
 */
import { layout } from './layout.ts'
import { chmodSync, closeSync, fchmodSync, fstatSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectories } from '#directory.ts'

/** What lies directly below the root of a store. */
export const storeDirectories: readonly string[] = [
  layout.blobs,
  layout.cache,
  layout.containers,
  layout.builds,
  layout.networks,
  layout.projects,
  layout.snapshots,
  layout.temporary,
  layout.volumes,
]
/** Its database, first the file that has it. */
export const storeFiles: readonly string[] = [layout.database, `${layout.database}-shm`, `${layout.database}-wal`]
/** What is found in a file system of its own, and says nothing about whose directory it is. */
const neutral: readonly string[] = ['lost+found']

const directoryMode = 0o700
const fileMode = 0o600
const stickyBit = 0o1000
const forOthers = 0o077

/** Makes the root of a store and what lies directly below it. The modes are there from the first moment on. */
export function makePrivateRoot(root: string): void {
  makeDirectories(root, directoryMode)
  for (const name of storeDirectories) mkdirSync(join(root, name), { recursive: true, mode: directoryMode })
}

/** Makes a directory of the store, and those above it, that nobody else can enter. */
export function makePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: directoryMode })
}

/** Makes the database's file before SQLite does: its log and index get the mode of the file. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, 'a', fileMode))
}

/**
 * Closes a store that an earlier release left open to others. A root that also holds what is not the store's (a home, a
 * temporary directory) stays as it is, and the parts of the store in it are closed one by one.
 *
 * @param directory The root, open.
 */
export function closeToOthers(root: string, directory: number): void {
  const { mode } = fstatSync(directory)
  if ((mode & forOthers) === 0) return
  attempt(() => {
    for (const { path, isOpen, mode: wanted } of parts(root)) if (isOpen) attempt(() => chmodSync(path, wanted))
    if (isOwn(root, mode)) fchmodSync(directory, directoryMode)
    else makePrivateRoot(root)
  })
}

/** The parts of the store that others can reach, the root among them where it is the store's alone. */
export function openToOthers(root: string): readonly { readonly path: string; readonly mode: number }[] {
  const { mode } = statSync(root)
  if ((mode & forOthers) === 0) return []
  const top = isOwn(root, mode) ? [{ path: root, mode: directoryMode }] : []
  return [...top, ...parts(root).filter(({ isOpen }) => isOpen)]
}

function parts(root: string): { path: string; mode: number; isOpen: boolean }[] {
  return [...storeDirectories, ...storeFiles].flatMap((name) => {
    const path = join(root, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return []
    return [{ path, mode: stat.isDirectory() ? directoryMode : fileMode, isOpen: (stat.mode & forOthers) !== 0 }]
  })
}

/** Whether the root is a directory of the store and of nothing else. One with the sticky bit is everybody's. */
function isOwn(root: string, mode: number): boolean {
  return (mode & stickyBit) === 0 && strangersIn(root).length === 0
}

/** What lies in the root of a store and is no part of it. */
export function strangersIn(root: string): readonly string[] {
  const known = new Set([...storeDirectories, layout.registry, ...storeFiles, ...neutral])
  return readdirSync(root).filter((name) => !known.has(name))
}

/** A store on a read-only disk, or somebody else's, is read all the same; doctor says that it is open. */
function attempt(change: () => void): void {
  try {
    change()
  } catch (error) {
    if (!['EPERM', 'EACCES', 'EROFS', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
