import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { createFiles } from '#places/files.ts'
import type { Invocation, Values } from '../command.ts'
import { openSession } from '../session.ts'
import type { saveFlags } from './commands.ts'
import { transfer } from '#image/transfer.ts'

/** Writes images to one archive. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof saveFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  if (flags.output === undefined && process.stdout.isTTY)
    throw new StaveError('usage', 'stave save: an archive is not written to a terminal', { hint: 'Use -o FILE, or redirect the output.' })
  await using session = await openSession(settings)
  // Before anything is written: an archive that lacks an image must not look like a whole one.
  const roots = new Map<string, Descriptor>()
  for (const name of args) roots.set(name, await session.store.resolve(cx, name))
  const { target } = await createFiles(destination(flags), settings)
  await using archive = target
  for (const [name, root] of roots) {
    await transfer(cx, {
      title: `saving ${name}`,
      from: session.store,
      root,
      to: { ...archive, finish: async () => {} },
      name: nameFor(name),
      platforms: flags.platform === undefined ? 'present' : [flags.platform],
    })
  }
  await archive.finish?.(cx)
}

function destination({ output = '-', format }: Values<typeof saveFlags>): Parameters<typeof createFiles>[0] {
  const stream = output === '-' ? process.stdout : undefined
  if (format !== 'oci-dir')
    return { transport: format === 'oci-archive' ? format : 'docker-archive', path: output, name: undefined, stream }
  if (stream !== undefined) throw new StaveError('usage', 'stave save: --format oci-dir needs -o DIR')
  return { transport: 'oci', path: output, name: undefined }
}

/** An image named by its ID is saved without a name. */
function nameFor(text: string): string | undefined {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(text)) return undefined
  return formatReference(parseReference(text))
}
