import { parseBytes } from '#container/unit.ts'
import { pruneVolumes } from '#container/volume.ts'
import { prune } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../progress/renderer.ts'
import { openSession } from '../session.ts'
import type { pruneFlags } from '../table/system.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof pruneFlags>): Promise<void> {
  await using session = await openSession(settings)
  const volumes = flags.volumes ? await pruneVolumes(cx, session.store, {}) : []
  const freed = await prune(cx, session.store, {
    images: flags.all ? 'all' : 'dangling',
    ...(flags['keep-storage'] !== undefined && { cacheBytes: parseBytes(flags['keep-storage'], '--keep-storage') }),
  })
  if (flags.json) return report.json({ ...freed, volumes })
  for (const name of freed.images) report.print(`removed image ${name}`)
  for (const name of volumes) report.print(`removed volume ${name}`)
  report.print(`Total reclaimed space: ${formatBytes(freed.bytes)}`)
}
