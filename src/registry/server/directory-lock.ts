import path from 'node:path'
import { StaveError } from '#error.ts'

/**
 * Holds the directory of a registry for one process that writes. SQLite holds the lock on the file, so it goes with the
 * process, however that ends; Node itself has no flock(2).
 *
 * @throws StaveError `in-use` when another process, or another server of this one, has it
 */
export async function lockDirectory(directory: string): Promise<Disposable> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(path.join(directory, '.lock'))
  try {
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if (!/locked|busy/.test((cause as Error).message)) throw cause
    throw new StaveError('in-use', `cannot serve a registry from ${JSON.stringify(directory)}: another process does so already`, {
      cause,
      hint: 'One process writes to a directory at a time; --read-only serves it too.',
    })
  }
  return { [Symbol.dispose]: () => database.close() }
}
