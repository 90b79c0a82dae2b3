import { diskUsage } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { openSession } from '../session.ts'
import { printList } from '../output/table.ts'
import type { jsonFlag } from './commands.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof jsonFlag>): Promise<void> {
  await using session = await openSession(settings)
  const usage = await diskUsage(cx, session.store)
  if (flags.json || flags.format === 'json') return report.json(usage)
  const rows = [
    { type: 'Images', count: usage.images.count, bytes: usage.images.bytes },
    { type: 'Build cache', count: usage.cache.count, bytes: usage.cache.bytes },
    { type: 'Unpacked layers', count: usage.snapshots.count, bytes: usage.snapshots.bytes },
    { type: 'Cache mounts, sources, logs', count: usage.cacheFiles.count, bytes: usage.cacheFiles.bytes },
    { type: 'Containers', count: usage.containers.count, bytes: undefined },
    { type: 'Volumes', count: usage.volumes.count, bytes: undefined },
  ]
  printList(
    report,
    rows,
    [
      { heading: 'TYPE', value: ({ type }) => type },
      { heading: 'TOTAL', value: ({ count }) => String(count) },
      { heading: 'SIZE', value: ({ bytes }) => (bytes === undefined ? '' : formatBytes(bytes)) },
    ],
    ({ type, count, bytes }) => ({ Type: type, TotalCount: count, Size: bytes === undefined ? '' : formatBytes(bytes) }),
    flags,
  )
  if (flags.format === undefined) report.print(`Reclaimable: ${formatBytes(usage.reclaimableBytes)}`)
}
