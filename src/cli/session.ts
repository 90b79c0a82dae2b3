import { locateRunner } from '#runner/locate.ts'
import { createRunner, type Runner } from '#runner/runner.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import type { Settings } from './settings.ts'

/** The store and its runner, for the time of one command. */
export interface Session extends AsyncDisposable {
  readonly store: LocalStore
  readonly runner: Runner
}

export async function openSession(settings: Settings): Promise<Session> {
  const runner = createRunner({
    binary: locateRunner(settings.runner === undefined ? {} : { path: settings.runner }),
    uid: settings.uid,
    root: settings.root,
    env: { PATH: settings.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  })
  const store = await openStore({ root: settings.root, runner, driver: settings.storageDriver, exits: true })
  return {
    store,
    runner,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await runner[Symbol.asyncDispose]()
    },
  }
}
