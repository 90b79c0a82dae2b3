import { layout, pathOf, placeOf } from '#store/layout.ts'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { findUserMode } from '#network/host.ts'
import { withClaim } from '#store/claim.ts'
import type { LocalStore } from '#store/open.ts'
import { bootId, isAlive } from '#store/owner.ts'
import { makePrivateDirectory } from '#store/private.ts'

/** The network namespace that has an ordinary user's bridges, and the user namespace that owns it, both open. */
export interface SharedNamespace extends Disposable {
  readonly namespace: number
  readonly userns: number
}

/** The one that is there. @returns undefined if there is none: then nothing of ours is in it either */
export function findShared(store: Pick<LocalStore, 'root'>): SharedNamespace | undefined {
  let pid: number
  try {
    const keeper = JSON.parse(readFileSync(pathOf(store, layout.networkKeeper), 'utf8')) as { pid: number; start: number; boot: string }
    if (keeper.boot !== bootId() || !isAlive(keeper)) return undefined
    pid = keeper.pid
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const namespace = openSync(`/proc/${pid}/ns/net`, constants.O_RDONLY)
  try {
    const userns = openSync(`/proc/${pid}/ns/user`, constants.O_RDONLY)
    return {
      namespace,
      userns,
      [Symbol.dispose]() {
        closeSync(namespace)
        closeSync(userns)
      },
    }
  } catch (error) {
    closeSync(namespace)
    throw error
  }
}

/** The one that is there, or a new one. It goes by itself when no container is in it. @throws StaveError `isolation` */
export async function ensureShared(cx: Context, store: LocalStore): Promise<SharedNamespace> {
  return withClaim(cx, store.database, ['shared-network'], async () => {
    const there = findShared(store)
    if (there !== undefined) return there
    makePrivateDirectory(pathOf(store, layout.networks))
    const state = placeOf(store, layout.networks)
    await store.runner.network(cx, { action: 'keep', state, userMode: findUserMode() })
    const made = findShared(store)
    if (made === undefined) throw new StaveError('isolation', 'the network that containers share ended as soon as it was made')
    return made
  })
}
