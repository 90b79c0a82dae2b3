import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { exportVolume } from '#container/export.ts'
import { findVolume } from '#container/volume.ts'
import { StaveError } from '#error.ts'
import { deliverFile } from '#image/file.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { exportFlags } from './copying-commands.ts'

/** Writes what is in a volume as a tar. */
export async function run({ cx, flags, args, settings }: Invocation<typeof exportFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { name } = findVolume(session.store, args[0]!)
  if (flags.output === undefined && process.stdout.isTTY)
    throw new StaveError('usage', 'a tar is not written to a terminal', { hint: 'Use --output FILE, or redirect standard output.' })
  await exportVolume(cx, session.store, name, async (tar) => {
    if (flags.output === undefined) await pipeline(createReadStream(tar), process.stdout, { end: false, signal: cx.signal })
    else await deliverFile(cx, tar, resolve(settings.cwd, flags.output))
  })
}
