import { locateRunner } from '#runner/locate.ts'
import { createRunner } from '#runner/runner.ts'
import { openStore, type LocalStore } from './open.ts'

/**
 * Opens a store, with the native program that came with Stave and this process's user. Disposing of the store ends what
 * it has started.
 *
 * @param root The store's directory, absolute. It is made if it is not there, for its owner alone.
 * @throws StaveError `runner` where the native program is missing; `permission`, `io`
 */
export async function openLocalStore(root: string): Promise<LocalStore> {
  const runner = createRunner({ binary: locateRunner(), uid: process.getuid?.() ?? 0, root })
  const store = await openStore({ root, runner })
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await runner[Symbol.asyncDispose]()
    },
  }
}
