import { renameSync, writeFileSync } from 'node:fs'
import { self } from '#store/owner.ts'

/** Replaces a small file of a container in one step: a reader sees the old or the new one. */
export function replaceFile(path: string, text: string): void {
  const scratch = `${path}.${self().pid}`
  writeFileSync(scratch, text, { mode: 0o600 })
  renameSync(scratch, path)
}
