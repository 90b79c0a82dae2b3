import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from '#context.ts'
import type { Database } from './database.ts'
import { lives } from './leases.ts'
import { self } from './owner.ts'
import { randomHex } from './random.ts'

const pollMs = 20

/**
 * Takes all of these keys for the caller, or none if somebody living has one of them: another process, or another
 * operation of this one. All or nothing, so that two can never wait for each other.
 */
export function claim(database: Database, keys: readonly string[]): Disposable | undefined {
  const token = randomHex(8)
  const { pid, start } = self()
  const taken = database.transaction(() => {
    const rows = database.all('SELECT pid, start FROM claim WHERE key IN (SELECT value FROM json_each(?))', JSON.stringify(keys))
    if (rows.some((row) => lives(row))) return false
    for (const key of keys)
      database.run('INSERT OR REPLACE INTO claim (key, pid, start, token) VALUES (?, ?, ?, ?)', key, pid, start, token)
    return true
  })
  if (!taken) return undefined
  return {
    [Symbol.dispose]() {
      database.run('DELETE FROM claim WHERE token = ?', token)
    },
  }
}

/** Runs `body` while nobody else does anything under one of these keys. */
export async function withClaim<T>(cx: Context, database: Database, keys: readonly string[], body: () => Promise<T>): Promise<T> {
  for (;;) {
    using held = claim(database, keys)
    if (held !== undefined) return await body()
    await delay(pollMs, undefined, { signal: cx.signal })
  }
}
