import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { collectGarbage, type CollectOptions } from '#registry/server/garbage.ts'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import type { serveFlags } from './serve-flags.ts'

/** Collects the garbage of a registry that nobody serves, and says what it was. */
export async function runCollection({ report }: Invocation<typeof serveFlags>, directory: string, options: CollectOptions): Promise<void> {
  if (!existsSync(join(directory, 'repositories'))) {
    throw new StaveError('not-found', `cannot collect garbage in ${directory}: there is no registry`, {
      hint: '--directory names the directory of stave serve.',
    })
  }
  const collected = await withFileErrors(`collect garbage in ${directory}`, () => collectGarbage(directory, options))
  for (const reason of collected.skipped) report.event({ type: 'warning', message: `a repository was left as it is: ${reason}` })
  const counts = [
    [collected.manifests, 'manifest'],
    [collected.blobs, 'blob'],
    [collected.uploads, 'upload'],
  ] as const
  const words = counts.map(([count, word]) => `${count} ${word}${count === 1 ? '' : 's'}`).join(', ')
  report.print(`${options.dryRun ? 'would remove' : 'removed'} ${words}: ${formatBytes(collected.bytes)}`)
}
