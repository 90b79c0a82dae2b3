import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { importVolume } from '#container/copy-in.ts'
import { findVolume } from '#container/volume.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** Unpacks a tar into a volume, beside what is there. */
export async function run({ cx, args, settings }: Invocation): Promise<void> {
  const [volume = '', source = '-'] = args
  await using session = await openSession(settings)
  const { name } = findVolume(session.store, volume)
  const tar = source === '-' ? process.stdin : createReadStream(resolve(settings.cwd, source))
  await importVolume(cx, session.store, name, tar)
}
