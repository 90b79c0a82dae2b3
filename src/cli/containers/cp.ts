import { createReadStream } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { findContainer } from '#container/container.ts'
import { copyFromDirectory, copyFromTar } from '#container/copy-in.ts'
import { copyToDirectory, copyToTar } from '#container/export.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { cpFlags } from './copying-commands.ts'

/** Copies a file or directory out of a container, or into one. */
export async function run({ cx, flags, args, settings }: Invocation<typeof cpFlags>): Promise<void> {
  const [source = '', target = ''] = args
  const from = placeOf(source)
  const to = placeOf(target)
  if ((from === undefined) === (to === undefined)) throw oneSide(from !== undefined)
  // As typed: a slash at the end says that it is to be a directory.
  const here = (path: string) => (isAbsolute(path) ? path : joinTyped(settings.cwd, path))
  await using session = await openSession(settings)
  const { store } = session
  if (to !== undefined) {
    const container = findContainer(store, to.container)
    if (source === '-') return await copyFromTar(cx, store, container, process.stdin, to.path)
    const options = { archive: flags.archive ?? false, follow: flags['follow-link'] ?? false }
    return await copyFromDirectory(cx, store, container, here(source), to.path, options)
  }
  const container = findContainer(store, from!.container)
  if (target === '-') {
    const write = (tar: string) => pipeline(createReadStream(tar), process.stdout, { end: false, signal: cx.signal })
    return await copyToTar(cx, store, container, from!.path, write)
  }
  await copyToDirectory(cx, store, container, from!.path, here(target), flags.archive ?? false)
}

/** Keeps `/.` at the end, which means something. */
function joinTyped(directory: string, path: string): string {
  const joined = join(directory, path)
  return /(^|\/)\.$/.test(path) ? `${joined.replace(/\/$/, '')}/.` : joined
}

function oneSide(both: boolean): StaveError {
  return new StaveError('usage', `stave cp: ${both ? 'both sides name a container' : 'neither side names a container'}`, {
    hint: both
      ? 'By way of a tar: stave cp ONE:PATH - | stave cp - OTHER:DIRECTORY'
      : 'A container is named CONTAINER:PATH; what begins with / or . is a path of this machine.',
  })
}

/** `CONTAINER:PATH`; what begins like a path of this machine is one, with or without a colon in it. */
function placeOf(text: string): { readonly container: string; readonly path: string } | undefined {
  const match = /^([^./~][^:]*):(.*)$/s.exec(text)
  return match === null ? undefined : { container: match[1]!, path: match[2]! }
}
