import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { replaceFile, withFileErrors } from '#image/file.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { openBlobPlace } from './blob.ts'
import type { blobGetFlags } from './commands.ts'

/** Writes a blob to stdout or a file, verified: a file appears only when it is whole. */
export async function run({ cx, flags, args, settings }: Invocation<typeof blobGetFlags>): Promise<void> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { registry, descriptor } = await openBlobPlace(cx, places, args)
  const bytes = await registry.open(cx, descriptor)
  if (flags.output === undefined || flags.output === '-') {
    for await (const chunk of bytes) if (!process.stdout.write(chunk)) await new Promise((drained) => process.stdout.once('drain', drained))
    return
  }
  const path = resolve(settings.cwd, flags.output)
  await withFileErrors(`write ${path}`, () =>
    replaceFile(path, (temporary) => pipeline(Readable.from(bytes), createWriteStream(temporary), { signal: cx.signal })),
  )
}
