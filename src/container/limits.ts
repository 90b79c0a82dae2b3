import type { Context } from '#context.ts'
import type { Resources } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import { updateContainer, type Container } from './container.ts'
import { directoryOf } from './control.ts'

/**
 * Gives a container other limits: at once if it runs, and whenever it is started from then on.
 *
 * @param resources What changes; the rest stays.
 * @throws StaveError `isolation` where a limit cannot be set
 */
export async function changeLimits(cx: Context, store: LocalStore, container: Container, resources: Resources): Promise<void> {
  const { state } = container.status
  const all = { ...container.spec.resources, ...resources }
  // Swap is counted together with memory, so one alone cannot be said.
  const memory = { ...(all.memorySwapBytes !== undefined && { memorySwapBytes: all.memorySwapBytes }) }
  if (state === 'running' || state === 'paused')
    await store.runner.limit(cx, { container: directoryOf(store, container), resources: { ...memory, ...resources } })
  updateContainer(store, container, { spec: { ...container.spec, resources: all } })
}
