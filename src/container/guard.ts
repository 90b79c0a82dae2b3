import { readFileSync } from 'node:fs'
import { isAlive, type Owner } from '#store/owner.ts'
import { layout, pathOf } from '#store/layout.ts'
import type { LocalStore } from '#store/open.ts'

/** The guard, if it is there. It is also there while it waits to start the container again. */
export function guardOf(store: Pick<LocalStore, 'root'>, id: string): Owner | undefined {
  try {
    const guard = JSON.parse(readFileSync(pathOf(store, layout.containerGuard(id)), 'utf8')) as Owner
    return isAlive(guard) ? guard : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Ends the guard: nothing is checked or started any more. */
export function endGuard(store: Pick<LocalStore, 'root'>, id: string): void {
  const guard = guardOf(store, id)
  // One that is just starting the container again is this process's own.
  if (guard === undefined || guard.pid === process.pid) return
  try {
    process.kill(guard.pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
