import type { Invocation } from '../command.ts'
import { byName, imageFilter } from './filter.ts'
import { wantedPlatform } from './fetch.ts'
import { listImages, type ImageRow } from './listing.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { openSession } from '../session.ts'
import { formatAge, printList } from '../output/table.ts'
import type { imagesFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof imagesFlags>): Promise<void> {
  await using session = await openSession(settings)
  const rows = await listImages(cx, session.store, wantedPlatform(undefined, settings))
  const filters = [imageFilter(flags.filter, rows), ...args.map((name) => byName(name))]
  const shown = sorted(
    rows.filter((row) => filters.every((accepts) => accepts(row))),
    flags.sort ?? 'created',
  )
  const id = (row: ImageRow) => (flags['no-trunc'] ? row.id : row.id.replace(/^sha256:/, '').slice(0, 12))
  if (flags.quiet) return [...new Set(shown.map(id))].forEach((one) => report.print(one))
  printList(
    report,
    shown,
    [
      { heading: 'REPOSITORY', value: ({ repository }) => repository },
      { heading: 'TAG', value: ({ tag }) => tag },
      ...(flags.digests ? [{ heading: 'DIGEST', value: ({ record }: ImageRow) => record.descriptor.digest }] : []),
      { heading: 'IMAGE ID', value: id },
      { heading: 'CREATED', value: ({ created }) => (created === undefined ? 'N/A' : formatAge(created)) },
      { heading: 'SIZE', value: ({ size }) => formatBytes(size) },
    ],
    (row) => ({
      ID: id(row),
      Repository: row.repository,
      Tag: row.tag,
      Name: row.record.name,
      Digest: row.record.descriptor.digest,
      Size: flags.json || flags.format === 'json' ? row.size : formatBytes(row.size),
      CreatedAt: row.created?.toISOString() ?? '',
      CreatedSince: row.created === undefined ? 'N/A' : formatAge(row.created),
      Labels: row.config?.config?.Labels ?? {},
    }),
    flags,
  )
}

/** By default the newest first, as in docker and podman. */
function sorted(rows: readonly ImageRow[], by: string): readonly ImageRow[] {
  const name = ({ repository, tag }: ImageRow) => `${repository}:${tag}`
  const compare: Readonly<Record<string, (a: ImageRow, b: ImageRow) => number>> = {
    created: (a, b) => (b.created?.getTime() ?? 0) - (a.created?.getTime() ?? 0),
    id: (a, b) => (a.id < b.id ? -1 : 1),
    repository: (a, b) => (name(a) < name(b) ? -1 : 1),
    size: (a, b) => b.size - a.size,
    tag: (a, b) => (a.tag < b.tag ? -1 : 1),
  }
  return rows.toSorted(compare[by])
}
