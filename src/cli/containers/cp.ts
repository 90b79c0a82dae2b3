import { createReadStream } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { findContainer } from '#container/container.ts'
import { copyToDirectory, copyToTar } from '#container/export.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** Copies a file or directory out of a container. */
export async function run({ cx, args, settings }: Invocation): Promise<void> {
  const [source = '', target = ''] = args
  const from = placeOf(source)
  if (from === undefined || placeOf(target) !== undefined) {
    throw new StaveError('unsupported', 'stave cp copies from a container to this machine: CONTAINER:PATH, then where to', {
      hint: 'Into a container: mount it with --volume, or tar -c FILE | stave exec -i CONTAINER tar -x -C DIRECTORY.',
    })
  }
  await using session = await openSession(settings)
  const { store } = session
  const container = findContainer(store, from.container)
  if (target === '-') {
    const write = (tar: string) => pipeline(createReadStream(tar), process.stdout, { end: false, signal: cx.signal })
    return await copyToTar(cx, store, container, from.path, write)
  }
  // As typed: a slash at the end says that it is to be a directory.
  await copyToDirectory(cx, store, container, from.path, isAbsolute(target) ? target : join(settings.cwd, target))
}

/** `CONTAINER:PATH`; what begins like a path of this machine is one, with or without a colon in it. */
function placeOf(text: string): { readonly container: string; readonly path: string } | undefined {
  const match = /^([^./~][^:]*):(.*)$/s.exec(text)
  return match === null ? undefined : { container: match[1]!, path: match[2]! }
}
