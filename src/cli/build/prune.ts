import { parseBytes } from '#text/size.ts'
import { parseDuration } from '#text/duration.ts'
import { StaveError } from '#error.ts'
import { prune } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { openSession } from '../session.ts'
import type { builderPruneFlags } from './flags.ts'

/** Removes the build cache. Images keep their names, and what they need. */
export async function run({ cx, flags, settings, report }: Invocation<typeof builderPruneFlags>): Promise<void> {
  const since = unusedSince(flags.filter)
  const keep = flags['keep-storage']
  await using session = await openSession(settings)
  const freed = await prune(cx, session.store, {
    images: 'none',
    ...(keep !== undefined && { cacheBytes: parseBytes(keep, '--keep-storage') }),
    ...(keep === undefined && since === undefined && { cacheBytes: 0 }),
    ...(since !== undefined && { cacheUnusedSince: since }),
  })
  if (flags.json) return report.json(freed)
  report.print(`Total reclaimed space: ${formatBytes(freed.bytes)}`)
}

function unusedSince(filters: readonly string[]): number | undefined {
  let since: number | undefined
  for (const filter of filters) {
    const [key, value = ''] = filter.split(/=(.*)/s)
    if (key !== 'until' && key !== 'unused-for')
      throw new StaveError('usage', `--filter ${filter} is not understood`, { hint: 'There is until=DURATION, such as until=24h.' })
    since = Date.now() - parseDuration(value) / 1e6
  }
  return since
}
