import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { transfer } from '#image/transfer.ts'
import { leavesFirst, walk } from '#image/walk.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { type Contents, type Inventory, readOmitted } from './inventory.ts'

/** Where what is restored goes. */
export interface RestoreTarget {
  /** The place for a name of the backup, and what it is called there. @throws StaveError `usage` for a name that has none */
  place(name: string): { readonly target: Target; readonly newName: string; readonly repository: string }
  /** The place that a repository has become, by its name in the backup: blobs that were left out may be taken over from it. */
  source(repository: string): Source | undefined
}

export interface Restored {
  readonly name: string
  readonly digest: Digest
}

export interface RestoreReport {
  readonly images: readonly Restored[]
  /** The blobs that each repository has now. */
  readonly contents: Contents
}

interface Entry {
  readonly descriptor: Descriptor
  readonly names: readonly string[]
}

/**
 * Brings all images of a backup into a place, with what refers to them. Before anything is written, all that they mention
 * must be in the backup, or be said to have been left out; every byte is hashed on its way. No other place is asked.
 *
 * @throws StaveError `blob-unknown` for what is neither in the backup nor in the target, and what the target throws
 */
export async function restore(
  cx: Context,
  archive: Source,
  to: RestoreTarget,
  options: { readonly referrers?: boolean } = {},
): Promise<RestoreReport> {
  const { entries, omitted } = await readEntries(cx, archive)
  const contents = new Map<string, ReadonlySet<Digest>>()
  const jobs = entries.flatMap(({ descriptor, names }) => names.map((name) => ({ descriptor, name, ...to.place(name) })))
  for (const { descriptor, repository } of jobs) {
    const blobs = await checkBlobs(cx, archive, descriptor, omitted)
    contents.set(repository, (contents.get(repository) ?? new Set<Digest>()).union(blobs))
  }
  const images: Restored[] = []
  for (const { descriptor, name, target, newName } of jobs) {
    const from: Source = { ...archive, origin: (what) => originOf(archive, what, omitted, to) }
    try {
      await transfer(cx, {
        title: `restoring ${name}`,
        from,
        root: descriptor,
        to: target,
        name: newName,
        referrers: options.referrers ?? true,
      })
    } catch (error) {
      throw hasCode(error, 'blob-unknown') ? explained(error, name) : error
    }
    images.push({ name: `${target.title}:${newName}`, digest: descriptor.digest })
  }
  return { images, contents }
}

/** Reads and hashes all of a backup, and asks nobody else. @throws StaveError for the first thing that is missing or wrong */
export async function checkBackup(cx: Context, archive: Source): Promise<readonly Restored[]> {
  const { entries, omitted } = await readEntries(cx, archive)
  const seen = new Set<Digest>()
  for (const { descriptor } of entries) {
    await checkBlobs(cx, archive, descriptor, omitted)
    for (const { blobs } of leavesFirst(await walk(cx, archive, descriptor))) {
      for (const blob of blobs) {
        if (seen.has(blob.digest) || omitted.repositoriesOf(blob.digest).length > 0) continue
        seen.add(blob.digest)
        for await (const _ of await archive.open(cx, blob));
      }
    }
  }
  return entries.flatMap(({ descriptor, names }) => names.map((name) => ({ name, digest: descriptor.digest })))
}

async function readEntries(cx: Context, archive: Source): Promise<{ readonly entries: readonly Entry[]; readonly omitted: Inventory }> {
  const all = (await archive.list?.(cx)) ?? []
  let omitted: Inventory = { repositoriesOf: () => [] }
  for (const { descriptor, names } of all) if (names.length === 0) omitted = (await readOmitted(cx, archive, descriptor)) ?? omitted

  const entries = all.filter(({ names }) => names.length > 0)
  if (entries.length === 0) throw new StaveError('not-found', `cannot restore ${archive.title}: it has no image with a name`)
  return { entries, omitted }
}

/** @returns the blobs that an image mentions, all of which are there or were left out. @throws StaveError `blob-unknown` */
async function checkBlobs(cx: Context, archive: Source, root: Descriptor, omitted: Inventory): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>()
  for (const { blobs } of leavesFirst(await walk(cx, archive, root))) {
    for (const blob of blobs) {
      // Opening says whether it is there; nothing is read.
      if (omitted.repositoriesOf(blob.digest).length === 0) await archive.open(cx, blob)
      digests.add(blob.digest)
    }
  }
  return digests
}

/** Where a blob comes from: the backup, unless it was left out. */
function originOf(archive: Source, what: Descriptor, omitted: Inventory, to: RestoreTarget): Source {
  for (const repository of omitted.repositoriesOf(what.digest)) {
    const source = to.source(repository)
    if (source !== undefined) return source
  }
  return archive
}

function explained(error: StaveError, name: string): StaveError {
  return error.with({
    message: `cannot restore ${name}: a blob that the backup leaves out is not in the target either (${error.message})`,
    hint: 'Make the backup without --known, or with an inventory of this target.',
  })
}
