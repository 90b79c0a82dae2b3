import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { forEachBounded } from '#image/pool.ts'
import { isDigest } from '#oci/digest.ts'
import { formatReference, type Reference } from '#oci/reference.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import type { Choice, Wanted } from './wanted.ts'
import type { Found } from './plan.ts'

/** Most repositories whose tags are asked for at a time. */
const concurrency = 6

/** The directories below `directory`, or itself, that are images as `dir:` writes them; nothing below such an image is looked at. */
export async function findInDirectory(directory: string): Promise<readonly Found[]> {
  const found: Found[] = []
  const visit = async (path: string): Promise<void> => {
    const entries: Dirent[] = await withFileErrors(`read the directory ${path}`, () => readdir(path, { withFileTypes: true }))
    if (entries.some((entry) => entry.isFile() && entry.name === 'manifest.json')) {
      found.push({ place: { transport: 'dir', path }, scope: relative(directory, path) || lastPart(directory) })
      return
    }
    const below = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
    for (const name of below.sort()) await visit(join(path, name))
  }
  await visit(directory)
  if (found.length === 0) {
    throw new StaveError('not-found', `cannot sync ${directory}: there is no image in it`, {
      hint: 'An image in a directory is what stave copy writes to dir:DIR. Layouts and archives are copied with stave copy.',
    })
  }
  return found
}

function lastPart(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1)!
}

export interface InRegistries {
  readonly found: readonly Found[]
  /** Repositories whose tags cannot be had; only with `keepGoing`. */
  readonly failures: readonly { readonly repository: string; readonly error: unknown }[]
  /** Repositories of which nothing is wanted, as it turns out. */
  readonly empty: readonly string[]
}

/** The images that are wanted, in the order in which they are. Tags are asked for where they are not named. */
export async function findInRegistries(
  cx: Context,
  wanted: readonly Wanted[],
  client: (account: string | undefined) => Promise<RegistryClient>,
  options: { readonly keepGoing?: boolean } = {},
): Promise<InRegistries> {
  const names: (readonly string[])[] = wanted.map(() => [])
  const failures: { repository: string; error: unknown }[] = []
  await forEachBounded([...wanted.keys()], concurrency, async (index) => {
    const { repository, choice, account } = wanted[index]!
    try {
      names[index] = await namesOf(choice, async () => (await client(account)).open(repository).listTags(cx))
    } catch (error) {
      if (options.keepGoing !== true || cx.signal.aborted) throw error
      failures.push({ repository: formatReference(repository), error })
    }
  })
  const failed = new Set(failures.map(({ repository }) => repository))
  const empty = wanted
    .map(({ repository }) => formatReference(repository))
    .filter((name, index) => names[index]!.length === 0 && !failed.has(name))
  const found = wanted.flatMap(({ repository, account }, index) =>
    names[index]!.map((name): Found => {
      const reference: Reference = { ...repository, ...(isDigest(name) ? { digest: name } : { tag: name }) }
      return { place: { transport: 'docker', reference }, scope: formatReference(reference), ...(account !== undefined && { account }) }
    }),
  )
  return { found, failures, empty }
}

async function namesOf(choice: Choice, listTags: () => Promise<readonly string[]>): Promise<readonly string[]> {
  if (choice.kind === 'names') return choice.names
  const tags = await listTags()
  return choice.kind === 'all' ? tags : tags.filter((tag) => choice.accepts(tag))
}
