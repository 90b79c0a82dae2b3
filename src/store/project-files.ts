import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { layout, pathOf } from './layout.ts'
import type { LocalStore } from './open.ts'
import { makePrivateDirectory } from './private.ts'
import { randomHex } from './random.ts'

/**
 * Writes a file for a project, for containers to have it mounted.
 *
 * @param project Its name: small letters, digits, dashes and underscores.
 * @returns the path. The directory is private; within a container anybody may read the file.
 */
export function writeProjectFile(store: LocalStore, project: string, name: string, content: string): string {
  makePrivateDirectory(pathOf(store, layout.project(project)))
  const path = pathOf(store, layout.projectFile(project, name))
  const fresh = `${path}.${randomHex(8)}`
  writeFileSync(fresh, content, { mode: 0o400, flag: 'wx' })
  chmodSync(fresh, 0o444)
  renameSync(fresh, path)
  return path
}

/** Removes the files of a project. */
export function removeProjectFiles(store: LocalStore, project: string): void {
  rmSync(pathOf(store, layout.project(project)), { recursive: true, force: true })
}
