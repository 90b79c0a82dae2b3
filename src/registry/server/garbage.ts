import { collect, type Collected, type CollectOptions } from './collect.ts'
import { lockDirectory } from './directory-lock.ts'
import { openStorage } from './storage.ts'

export type { Collected, CollectOptions }

/**
 * Collects the garbage of a registry that nobody serves.
 *
 * @param directory as `serve` has it
 * @throws StaveError `in-use` when it is served
 */
export async function collectGarbage(directory: string, options: CollectOptions = {}): Promise<Collected> {
  const storage = await openStorage(directory)
  using _lock = await lockDirectory(directory)
  return await collect(storage, options)
}
