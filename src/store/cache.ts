import type { Digest } from '#oci/digest.ts'
import type { Database } from './database.ts'
import type { CacheRecord, CacheRecords } from './store.ts'

/** A record's time of use is renewed only this often: a hit need not write. */
const renewMs = 60_000

export function createCacheRecords(database: Database): CacheRecords {
  return {
    get(key) {
      const row = database.get('SELECT * FROM cache WHERE key = ?', key)
      if (row === undefined) return undefined
      const now = Date.now()
      if (now - Number(row['used']) > renewMs) database.run('UPDATE cache SET used = ? WHERE key = ?', now, key)
      return record(row)
    },
    put({ key, opKey, layer, explanation }) {
      const now = Date.now()
      database.run(
        `INSERT OR REPLACE INTO cache (key, op, layer, digest, diff, bytes, explanation, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        key,
        opKey,
        layer === undefined ? null : JSON.stringify(layer),
        layer?.digest ?? null,
        layer?.diffID ?? null,
        layer?.size ?? 0,
        explanation,
        now,
        now,
      )
    },
    byOperation: (opKey) => database.all('SELECT * FROM cache WHERE op = ? ORDER BY created DESC, key', opKey).map(record),
    list: () => database.all('SELECT * FROM cache ORDER BY created DESC, key').map(record),
    delete(key) {
      database.run('DELETE FROM cache WHERE key = ?', key)
    },
  }
}

function record(row: Record<string, string | number | null>): CacheRecord {
  return {
    key: row['key'] as Digest,
    opKey: row['op'] as Digest,
    layer: row['layer'] === null ? undefined : (JSON.parse(String(row['layer'])) as CacheRecord['layer']),
    explanation: String(row['explanation']),
    createdAt: new Date(Number(row['created'])),
    usedAt: new Date(Number(row['used'])),
  }
}
