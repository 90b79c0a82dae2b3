import { layout, pathOf, placeOf } from '#store/layout.ts'
import { readdirSync } from 'node:fs'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import { isRoot } from './network.ts'
import { findShared } from './shared.ts'
import { readStatus } from './status.ts'

/**
 * Takes away links, rules and names that containers have left on networks because their monitors were killed, or the
 * machine was. Costs one look at a directory where there are none.
 */
export async function sweepNetworks(cx: Context, store: LocalStore): Promise<void> {
  const entriesOf = (directory: string) => entries(pathOf(store, directory))
  const members = entriesOf(layout.networks).flatMap((network) => entriesOf(layout.network(network)))
  const lives = (id: string) => ['running', 'paused'].includes(readStatus(store, { id }).state)
  if (members.every(lives)) return
  // One that is only just starting looks dead from here; the runner looks at its process.
  await changeNetwork(cx, store, { action: 'sweep' })
}

/** Does something to the networks where the bridges are: on this machine, or in what a user's containers share. */
export async function changeNetwork(
  cx: Context,
  store: LocalStore,
  job: Omit<Parameters<LocalStore['runner']['network']>[1], 'state' | 'outside'>,
): Promise<void> {
  using shared = isRoot() ? undefined : findShared(store)
  const outside = shared === undefined ? {} : { outside: { fd: shared.namespace } }
  await store.runner.network(cx, { ...job, state: placeOf(store, layout.networks), ...outside }, shared?.userns)
}

function entries(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}
