import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { StaveError } from './error.ts'

/**
 * Makes a directory that a person named, and those above it that are missing. Node's own way of doing that never comes
 * back where a file system takes no directories: below /proc, mkdir(2) says that the parent is missing, and it is there.
 *
 * @param mode Of all that are made.
 * @throws StaveError `permission` in such a file system; else what mkdir(2) says
 */
export function makeDirectories(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    const parent = dirname(path)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    if (parent === path || existsSync(parent)) throw takesNone(path, error)
    makeDirectories(parent, mode)
    mkdirAgain(path, mode)
  }
}

/** Once all above it are there. Somebody else may be as fast. */
function mkdirAgain(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? takesNone(path, error) : error
  }
}

function takesNone(path: string, cause: unknown): StaveError {
  return new StaveError('permission', `cannot make the directory ${path}: the file system there takes no new ones`, {
    cause,
    hint: 'Choose a place on a disk.',
  })
}
