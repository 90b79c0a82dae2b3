import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { findContainer } from '#container/container.ts'
import { exportContainer } from '#container/export.ts'
import { StaveError } from '#error.ts'
import { deliverFile } from '#image/file.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { exportFlags } from './copying-commands.ts'

/** Writes the root of a container as a tar. */
export async function run({ cx, flags, args, settings }: Invocation<typeof exportFlags>): Promise<void> {
  await using session = await openSession(settings)
  const container = findContainer(session.store, args[0]!)
  if (flags.output === undefined && process.stdout.isTTY)
    throw new StaveError('usage', 'a tar is not written to a terminal', { hint: 'Use --output FILE, or redirect standard output.' })
  await exportContainer(cx, session.store, container, async (tar) => {
    if (flags.output === undefined) await pipeline(createReadStream(tar), process.stdout, { end: false, signal: cx.signal })
    else await deliverFile(cx, tar, resolve(settings.cwd, flags.output))
  })
}
