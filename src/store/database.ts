import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { StaveError } from '#error.ts'
import { makePrivateFile } from './private.ts'

export type Row = Record<string, string | number | null>

/**
 * `stave.db`. It is opened when it is first asked, and everything is synchronous: a statement takes some
 * microseconds, less than a promise does. Several processes write; each waits for the others' short transactions.
 */
export interface Database extends Disposable {
  all(sql: string, ...values: SQLInputValue[]): Row[]
  get(sql: string, ...values: SQLInputValue[]): Row | undefined
  /** The number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number
  /** `BEGIN IMMEDIATE`: nobody else writes meanwhile. Nested calls join. */
  transaction<T>(body: () => T): T
}

/** Each entry takes the schema one version further. Entries are never changed, only added. */
const migrations: readonly string[] = [
  `CREATE TABLE name (name TEXT PRIMARY KEY, digest TEXT NOT NULL, descriptor TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE image (id TEXT NOT NULL, manifest TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (id, manifest)) WITHOUT ROWID;
   CREATE TABLE referrer (subject TEXT NOT NULL, digest TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (subject, digest)) WITHOUT ROWID;
   CREATE TABLE snapshot (chain TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent TEXT, diff TEXT NOT NULL, bytes INTEGER, boot TEXT NOT NULL,
     settled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE pending (id TEXT PRIMARY KEY, pid INTEGER NOT NULL, start INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE claim (key TEXT PRIMARY KEY, pid INTEGER NOT NULL, start INTEGER NOT NULL, token TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE lease (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL, pid INTEGER NOT NULL, start INTEGER NOT NULL);
   CREATE TABLE writer (pid INTEGER NOT NULL, start INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (pid, start)) WITHOUT ROWID;
   CREATE TABLE cache (key TEXT PRIMARY KEY, op TEXT NOT NULL, layer TEXT, digest TEXT, diff TEXT, bytes INTEGER NOT NULL, explanation TEXT NOT NULL,
     created INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
   CREATE INDEX cache_op ON cache (op, created);
   CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE volume (name TEXT PRIMARY KEY, record TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;`,
  `CREATE TABLE verified (digest TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE stack (config TEXT PRIMARY KEY, chains TEXT NOT NULL) WITHOUT ROWID;`,
  `CREATE TABLE network (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE address (network TEXT NOT NULL, container TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (network, container)) WITHOUT ROWID;`,
  // 'tree', or 'index' of a tar.
  `ALTER TABLE snapshot ADD COLUMN form TEXT NOT NULL DEFAULT 'tree';`,
]

/** How long a statement waits for another process's transaction. */
const busyMs = 15_000

export function createDatabase(path: string): Database {
  let open: DatabaseSync | undefined
  const statements = new Map<string, StatementSync>()
  let depth = 0

  function prepare(sql: string): StatementSync {
    let statement = statements.get(sql)
    if (statement === undefined) {
      open ??= openDatabase(path)
      statement = open.prepare(sql)
      statements.set(sql, statement)
    }
    return statement
  }
  const database: Database = {
    all: (sql, ...values) => explained(path, () => prepare(sql).all(...values) as Row[]),
    get: (sql, ...values) => explained(path, () => prepare(sql).get(...values) as Row | undefined),
    run: (sql, ...values) => explained(path, () => Number(prepare(sql).run(...values).changes)),
    transaction(body) {
      if (depth > 0) return body()
      database.run('BEGIN IMMEDIATE')
      depth++
      try {
        const result = body()
        database.run('COMMIT')
        return result
      } catch (error) {
        // SQLite has rolled back by itself after some errors (a full disk), and then says that there is nothing to do.
        if (open?.isTransaction === true) database.run('ROLLBACK')
        throw error
      } finally {
        depth--
      }
    },
    [Symbol.dispose]() {
      statements.clear()
      open?.close()
      open = undefined
    },
  }
  return database
}

function openDatabase(path: string): DatabaseSync {
  // Loaded here and not at the top: commands that never ask the database do not pay for it.
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  makePrivateFile(path)
  const database = new DatabaseSync(path, { timeout: busyMs })
  try {
    database.exec('PRAGMA synchronous = NORMAL')
    if (version(database) < migrations.length) migrate(database)
    else if (version(database) > migrations.length) {
      throw new StaveError('unsupported', `cannot use ${path}: a newer release of Stave made it`, {
        hint: 'Use that release, or another store (--root).',
      })
    }
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function version(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
}

function migrate(database: DatabaseSync): void {
  enterWalMode(database)
  database.exec('BEGIN IMMEDIATE')
  // Another process may have been faster while this one waited for the lock.
  for (let next = version(database); next < migrations.length; next++) {
    database.exec(migrations[next]!)
    database.exec(`PRAGMA user_version = ${next + 1}`)
  }
  database.exec('COMMIT')
}

/** The mode is a property of the file. Changing it needs the file for oneself, and SQLite does not wait for that. */
function enterWalMode(database: DatabaseSync): void {
  const deadline = Date.now() + busyMs
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error
      Atomics.wait(pause, 0, 0, 5)
    }
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode ?? 0
  return (code & 0xff) === 5 || (code & 0xff) === 6
}

function explained<T>(path: string, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (error instanceof StaveError || (error as { code?: string }).code !== 'ERR_SQLITE_ERROR') throw error
    const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
    // SQLITE_BUSY, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB
    if (code === 13) throw new StaveError('no-space', `cannot write ${path}: the disk is full`, { cause: error })
    if (code === 8 || code === 14) throw new StaveError('permission', `cannot open ${path}`, { cause: error })
    if (code === 5)
      throw new StaveError('timeout', `cannot use ${path}: another process has held it for ${busyMs / 1000} seconds`, { cause: error })
    if (code === 11 || code === 26) {
      throw new StaveError('io', `cannot use ${path}: it is damaged`, {
        cause: error,
        hint: 'Move it away: images can be pulled again, and stave doctor --repair removes what belongs to none. stave system reset removes everything.',
      })
    }
    if (code === 10) throw new StaveError('io', `cannot use ${path}`, { cause: error })
    throw error
  }
}
