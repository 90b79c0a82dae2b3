import { pathOf } from './layout.ts'
import type { Context } from '#context.ts'
import type { Store } from './store.ts'
import { mkdirSync, readlinkSync, renameSync, symlinkSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, self } from './owner.ts'

const pollMs = 20

/**
 * A lock between processes: a symbolic link whose text names its holder, since a link is made whole or not at all. A
 * dead holder's lock is taken over. Of `undefined`, another holds it.
 */
export function tryLock(store: Store, name: string): Disposable | undefined {
  const path = pathOf(store, name)
  const { pid, start } = self()
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      symlinkSync(`${pid} ${start}`, path)
      return { [Symbol.dispose]: () => remove(path) }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') mkdirSync(dirname(path), { recursive: true })
      else if (code !== 'EEXIST') throw error
      else if (!isStale(path)) return undefined
    }
  }
  return undefined
}

/** Waits for the lock. `waited` says whether another held it. */
export async function lock(cx: Context, store: Store, name: string): Promise<Disposable & { readonly waited: boolean }> {
  for (let waited = false; ; waited = true) {
    const held = tryLock(store, name)
    if (held !== undefined) return Object.assign(held, { waited })
    await delay(pollMs, undefined, { signal: cx.signal })
  }
}

/** Removes the lock of a process that is no more. */
function isStale(path: string): boolean {
  const holder = readHolder(path)
  if (holder === undefined) return true
  const [pid = 0, start = 0] = holder.split(' ').map(Number)
  if (isAlive({ pid, start })) return false
  // Several may see it dead. One moves it away; if that was a successor's lock meanwhile, it goes back.
  const aside = `${path}.${self().pid}`
  try {
    renameSync(path, aside)
  } catch {
    return true
  }
  if (readHolder(aside) === holder) remove(aside)
  else renameSync(aside, path)
  return true
}

function readHolder(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    // Gone meanwhile.
    return undefined
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
