import { openNearest } from '#image/image.ts'
import type { Invocation } from '../command.ts'
import { wantedPlatform } from './fetch.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { openSession } from '../session.ts'
import { formatAge, printList } from '../output/table.ts'
import type { historyFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof historyFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { store } = session
  const image = await openNearest(cx, store, await store.resolve(cx, args[0]!), wantedPlatform(undefined, settings))
  const config = await image.config(cx)
  let layer = 0
  const rows = (config.history ?? [])
    .map((entry) => ({ entry, size: entry.empty_layer ? 0 : (image.manifest.layers[layer++]?.size ?? 0) }))
    .reverse()
  const id = (index: number) =>
    index > 0 ? '<missing>' : flags['no-trunc'] ? image.manifest.config.digest : image.manifest.config.digest.slice(7, 19)
  const numbered = rows.map((row, index) => ({ ...row, id: id(index) }))
  if (flags.quiet) return numbered.forEach((row) => report.print(row.id))
  const cut = (text: string) => (flags['no-trunc'] || text.length <= 45 ? text : `${text.slice(0, 44)}…`)
  printList(
    report,
    numbered,
    [
      { heading: 'IMAGE', value: (row) => row.id },
      { heading: 'CREATED', value: ({ entry }) => (entry.created === undefined ? 'N/A' : formatAge(new Date(entry.created))) },
      { heading: 'CREATED BY', value: ({ entry }) => cut(entry.created_by ?? '') },
      { heading: 'SIZE', value: ({ size }) => (flags.human === false ? String(size) : formatBytes(size)) },
      { heading: 'COMMENT', value: ({ entry }) => entry.comment ?? '' },
    ],
    (row) => ({
      ID: row.id,
      CreatedAt: row.entry.created ?? '',
      CreatedSince: row.entry.created === undefined ? '' : formatAge(new Date(row.entry.created)),
      CreatedBy: cut(row.entry.created_by ?? ''),
      Size: flags.json || flags.format === 'json' ? row.size : formatBytes(row.size),
      Comment: row.entry.comment ?? '',
    }),
    flags,
  )
}
