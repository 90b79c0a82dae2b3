import { layout, pathOf } from '#store/layout.ts'
import { readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { removeStore, usersOf } from '#store/reset.ts'
import { listContainers, reapContainers, removeContainer } from './container.ts'
import { killContainer } from './control.ts'
import { readState, readStatus } from './status.ts'
import { removeGroups } from './lost.ts'
import { findShared } from './shared.ts'

/** How long what has used the store may take to end once its containers are gone. */
const patienceMs = 5_000

/**
 * Removes everything: the containers, killed if they run, their networks, and all that is in the store. A store whose
 * database cannot be read is removed all the same.
 *
 * @throws StaveError `in-use` while another process builds, pulls or pushes here
 */
export async function resetStore(cx: Context, store: LocalStore): Promise<void> {
  if (isReadable(store)) {
    await reapContainers(cx, store)
    for (const container of listContainers(store)) await removeContainer(cx, store, container, { force: true, volumes: true })
    await untilUnused(cx, store)
  } else await killByDirectory(cx, store)
  // The process that keeps an ordinary user's network ends after its last container, and writes to the store until then.
  const deadline = performance.now() + patienceMs
  while (hasSharedNetwork(store) && performance.now() < deadline) await delay(50, undefined, { signal: cx.signal })
  await removeStore(cx, store)
}

function isReadable(store: LocalStore): boolean {
  try {
    store.database.get('SELECT id FROM container LIMIT 1')
    return true
  } catch (error) {
    // Damaged, or of a newer release. One that is only busy or closed to this user may well be in use.
    if (hasCode(error, 'io', 'unsupported')) return false
    throw error
  }
}

async function untilUnused(cx: Context, store: LocalStore): Promise<void> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const pids = usersOf(store)
    if (pids.length === 0) return
    if (performance.now() > deadline) {
      const who = pids.length === 1 ? `process ${pids[0]} uses` : `processes ${pids.join(', ')} use`
      throw new StaveError('in-use', `cannot remove the store ${store.root}: ${who} it`, {
        hint: 'Wait until it has ended, or end it; then try again. Its containers are removed already.',
      })
    }
    await delay(50, undefined, { signal: cx.signal })
  }
}

/** The directories of containers tell what runs where the database cannot. */
async function killByDirectory(cx: Context, store: LocalStore): Promise<void> {
  for (const id of readdirSync(pathOf(store, layout.containers))) {
    const { state } = readStatus(store, { id })
    if (state === 'running') await killContainer(cx, store, { id, name: id.slice(0, 12) }, 'KILL', { wait: true })
    removeGroups(readState(store, id)?.cgroup)
  }
}

function hasSharedNetwork(store: LocalStore): boolean {
  using shared = findShared(store)
  return shared !== undefined
}
