import type { Database } from './database.ts'
import { isAlive, self, type Owner } from './owner.ts'
import type { Leases } from './store.ts'

/** Keeps what a process uses from being pruned, until it lets go or is no more. */
export function createLeases(database: Database): Leases {
  return {
    hold(kind, id) {
      const { pid, start } = self()
      const row = database.get('INSERT INTO lease (kind, target, pid, start) VALUES (?, ?, ?, ?) RETURNING id', kind, id, pid, start)
      const lease = row!['id']!
      let held = true
      return {
        [Symbol.dispose]() {
          if (held) database.run('DELETE FROM lease WHERE id = ?', lease)
          held = false
        },
      }
    },
    isShared(since) {
      const own = self()
      return database.all('SELECT pid, start, since FROM writer').some((row) => {
        const owner = ownerIn(row)
        return !(owner.pid === own.pid && owner.start === own.start) && Number(row['since']) <= since && isAlive(owner)
      })
    },
  }
}

/** What living processes hold. Leases of the dead are removed. Called in a transaction. */
export function heldBy(database: Database, kind: 'blob' | 'snapshot'): Set<string> {
  const held = new Set<string>()
  const living = new Map<string, boolean>()
  for (const row of database.all('SELECT id, target, pid, start FROM lease WHERE kind = ?', kind)) {
    if (lives(row, living)) held.add(String(row['target']))
    else database.run('DELETE FROM lease WHERE id = ?', row['id']!)
  }
  return held
}

/**
 * Notes that this process brings content in. What has been written or found present since then is not pruned
 * while it lives, although no name mentions it yet.
 */
export function registerWriter(database: Database): void {
  const { pid, start } = self()
  database.run('INSERT OR IGNORE INTO writer (pid, start, since) VALUES (?, ?, ?)', pid, start, Date.now() - 2000)
}

export function unregisterWriter(database: Database): void {
  const { pid, start } = self()
  database.run('DELETE FROM writer WHERE pid = ? AND start = ?', pid, start)
}

/** Since when (ms) living processes other than this one have been bringing content in; Infinity if none does. */
export function oldestWriter(database: Database): number {
  let oldest = Infinity
  for (const row of database.all('SELECT pid, start, since FROM writer')) {
    const owner = ownerIn(row)
    if (!isAlive(owner)) database.run('DELETE FROM writer WHERE pid = ? AND start = ?', owner.pid, owner.start)
    else oldest = Math.min(oldest, Number(row['since']))
  }
  return oldest
}

export function ownerIn(row: Record<string, string | number | null>): Owner {
  return { pid: Number(row['pid']), start: Number(row['start']) }
}

/** {@link isAlive}, asked once for each process. */
export function lives(row: Record<string, string | number | null>, known: Map<string, boolean> = new Map()): boolean {
  const owner = ownerIn(row)
  const key = `${owner.pid}-${owner.start}`
  let alive = known.get(key)
  if (alive === undefined) known.set(key, (alive = isAlive(owner)))
  return alive
}
