import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Store } from '#store/store.ts'
import type { Sandbox } from '../options.ts'
import { hasCode } from '#error.ts'
import { closeSync, constants, mkdirSync, openSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'

type Bind = NonNullable<Sandbox['binds']>[number]

/** Below these lies the machine itself, which has no content that stands still. */
const alive = ['/proc', '/sys', '/dev', '/run', '/var/run']

/**
 * What RUN finds in directories and files of this machine, as far as that can be told: a digest for each, as of the files of a
 * context. Undefined where it cannot: the root, devices, sockets, what the kernel makes up, and what this user may not read
 * all of.
 */
export async function digestsOfBinds(cx: Context, store: Store, binds: readonly Bind[]): Promise<readonly (string | undefined)[]> {
  const digests: (string | undefined)[] = []
  for (const { source } of binds) digests.push(await digestOfBind(cx, store, source))
  return digests
}

async function digestOfBind(cx: Context, store: Store, source: string): Promise<string | undefined> {
  const found = statSync(source, { throwIfNoEntry: false })
  if (source === '/' || alive.some((path) => source === path || source.startsWith(`${path}/`))) return undefined
  if (found === undefined || (!found.isDirectory() && !found.isFile())) return undefined
  const [directory, name] = found.isDirectory() ? [source, '.'] : [dirname(source), basename(source)]
  let fd: number | undefined
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
    mkdirSync(pathOf(store, layout.statCache), { recursive: true, mode: 0o700 })
    const { selections } = await store.runner.digest(cx, {
      selections: [{ selection: { from: { kind: 'directory', root: { fd } }, sources: [name], literal: true }, without: [] }],
      statCache: placeOf(store, layout.statCache),
    })
    return selections[0]?.digest
  } catch (error) {
    if (hasCode(error, 'permission') || (error as NodeJS.ErrnoException).code === 'EACCES') return undefined
    throw error
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
