import { Refusal } from './answer.ts'
import type { Ledger, Storage } from './storage.ts'

/** How much may be kept, in bytes. */
export interface Quota {
  /** In the whole registry: content counts once, however many repositories have it. */
  readonly total?: number
  /** In each repository: what it has in common with others counts in each. */
  readonly repository?: number
}

/** How much is kept. What an upload has brought so far counts as the repository's. */
export interface Usage extends Ledger {
  readonly total: number
  /** @throws Refusal 403, when so many bytes more would be too many */
  check(repository: string, bytes: number): void
  /** Counts bytes that are about to be kept. @throws Refusal 403, and nothing is counted then */
  take(repository: string, bytes: number): void
  /** Counts them no more: they are gone, or the storage has told of them. */
  give(repository: string, bytes: number): void
  /** Counts what lies there from before. */
  measure(storage: Storage): Promise<void>
}

export function createUsage(quota: Quota): Usage {
  let total = 0
  const repositories = new Map<string, number>()
  const add = (repository: string, bytes: number) => {
    const sum = (repositories.get(repository) ?? 0) + bytes
    if (sum > 0) repositories.set(repository, sum)
    else repositories.delete(repository)
  }
  const usage: Usage = {
    get total() {
      return total
    },
    check(repository, bytes) {
      if (quota.repository !== undefined)
        refuseAbove(`the repository ${repository}`, repositories.get(repository) ?? 0, bytes, quota.repository)
      if (quota.total !== undefined) refuseAbove('this registry', total, bytes, quota.total)
    },
    take(repository, bytes) {
      usage.check(repository, bytes)
      total += bytes
      add(repository, bytes)
    },
    give(repository, bytes) {
      total -= bytes
      add(repository, -bytes)
    },
    content: (bytes) => void (total += bytes),
    linked: add,
    async measure(storage) {
      const sizes = new Map<string, number>()
      for await (const { digest, size } of storage.walkContent()) {
        sizes.set(digest, size)
        total += size
      }
      for await (const repository of storage.walkRepositories()) {
        for (const kind of ['blobs', 'manifests'] as const)
          for await (const { digest } of storage.walkLinks(repository, kind)) add(repository, sizes.get(digest) ?? 0)
        for await (const { size } of storage.walkUploads(repository)) {
          total += size
          add(repository, size)
        }
      }
    },
  }
  return usage
}

function refuseAbove(what: string, used: number, bytes: number, most: number): void {
  if (used + bytes <= most) return
  // distribution-spec has no code of its own for this; Harbor and zot say DENIED too, which no client tries again.
  throw new Refusal(403, 'DENIED', `the quota of ${what} is ${most} bytes, of which ${used} are used: ${bytes} more do not fit`)
}
