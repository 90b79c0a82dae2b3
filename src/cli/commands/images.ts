import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { wantedPlatform } from '../images.ts'
import { listImages, type ImageRow } from '../listing.ts'
import { formatBytes } from '../progress/renderer.ts'
import { openSession } from '../session.ts'
import { formatAge, printList } from '../table-text.ts'
import type { imagesFlags } from '../table/images.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof imagesFlags>): Promise<void> {
  await using session = await openSession(settings)
  const rows = await listImages(cx, session.store, wantedPlatform(undefined, settings))
  const filters = [...flags.filter.map((text) => parseFilter(text, rows)), ...args.map((name) => byName(name))]
  const shown = rows.filter((row) => filters.every((accepts) => accepts(row)))
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

/** `debian`, `debian:12` */
function byName(text: string): (row: ImageRow) => boolean {
  return (row) =>
    text === row.repository ||
    text === `${row.repository}:${row.tag}` ||
    row.record.name === text ||
    row.id.replace(/^sha256:/, '').startsWith(text)
}

function parseFilter(text: string, rows: readonly ImageRow[]): (row: ImageRow) => boolean {
  const [key = '', value = ''] = text.split(/=(.*)/s)
  const created = () => rows.find(byName(value))?.created?.getTime() ?? 0
  switch (key) {
    case 'dangling':
      return ({ tag, repository }) => (repository === '<none>' && tag === '<none>') === (value === 'true')
    case 'reference': {
      const pattern = new RegExp(
        `^${value
          .split('*')
          .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, String.raw`\$&`))
          .join('[^/]*')}$`,
      )
      return ({ repository, tag, record }) => [repository, `${repository}:${tag}`, record.name].some((name) => pattern.test(name))
    }
    case 'label': {
      const [label = '', wanted] = value.split(/=(.*)/s)
      return ({ config }) => label in (config?.config?.Labels ?? {}) && (wanted === undefined || config?.config?.Labels?.[label] === wanted)
    }
    case 'before':
      return (row) => (row.created?.getTime() ?? 0) < created()
    case 'since':
      return (row) => (row.created?.getTime() ?? 0) > created()
    default:
      throw new StaveError('usage', `--filter ${text} is not understood`, {
        hint: 'There are dangling=, reference=, label=, before= and since=.',
      })
  }
}
