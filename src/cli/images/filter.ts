import { StaveError } from '#error.ts'
import { isNameless, type ImageRow } from './listing.ts'

type Accepts = (row: ImageRow) => boolean

/** `debian`, `debian:12`, the beginning of an ID, or a pattern: `deb*`, `acme/*:1.?`. */
export function byName(text: string): Accepts {
  const pattern = nameGlob(text)
  return (row) =>
    row.id.replace(/^sha256:/, '').startsWith(text) || row.id.startsWith(text) || namesOf(row).some((name) => pattern.test(name))
}

/** Reads the filters of `images` and `prune`: of several values of one key any is enough, of different keys all are needed. */
export function imageFilter(texts: readonly string[], rows: readonly ImageRow[]): Accepts {
  const byKey = new Map<string, Accepts[]>()
  for (const text of texts) {
    const [key = ''] = text.split('=', 1)
    byKey.set(key, [...(byKey.get(key) ?? []), parseFilter(text, rows)])
  }
  // A label more is a condition more, as in docker and podman.
  return (row) =>
    [...byKey].every(([key, filters]) =>
      key.startsWith('label') ? filters.every((accepts) => accepts(row)) : filters.some((accepts) => accepts(row)),
    )
}

function parseFilter(text: string, rows: readonly ImageRow[]): Accepts {
  const [key = '', value = ''] = text.split(/=(.*)/s)
  switch (key.replace(/!$/, '')) {
    case 'dangling':
      return (row) => isNameless(row) === (value === 'true' || value === '1')
    case 'reference': {
      const pattern = nameGlob(value)
      return (row) => namesOf(row).some((name) => pattern.test(name))
    }
    case 'id':
      return ({ id }) => id.startsWith(value) || id.replace(/^sha256:/, '').startsWith(value)
    case 'label': {
      const [label = '', wanted] = value.split(/=(.*)/s)
      const has: Accepts = ({ config }) => {
        const labels = config?.config?.Labels ?? {}
        return Object.hasOwn(labels, label) && (wanted === undefined || labels[label] === wanted)
      }
      return key.endsWith('!') ? (row) => !has(row) : has
    }
    case 'before':
    case 'since':
    case 'after': {
      const limit = createdOf(rows, text, value)
      return key === 'before' ? (row) => timeOf(row) < limit : (row) => timeOf(row) > limit
    }
    case 'until': {
      const limit = parseUntil(text, value)
      return (row) => timeOf(row) < limit
    }
    default:
      throw new StaveError('usage', `--filter ${text} is not understood`, {
        hint: 'There are dangling=, reference=, id=, label=, label!=, before=, since= and until=.',
      })
  }
}

function createdOf(rows: readonly ImageRow[], text: string, name: string): number {
  const row = rows.find(byName(name))
  if (row === undefined) throw new StaveError('not-found', `cannot use --filter ${text}: there is no image ${name} in the store`)
  return timeOf(row)
}

function timeOf(row: ImageRow): number {
  return row.created?.getTime() ?? 0
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A moment: `24h`, `1h30m`, `10d` (so long ago), seconds since 1970, or a date. */
export function parseUntil(text: string, value: string, now = Date.now()): number {
  if (/^(\d+(\.\d+)?[smhd])+$/.test(value)) {
    const parts = [...value.matchAll(/(\d+(?:\.\d+)?)([smhd])/g)]
    return now - parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0)
  }
  const moment = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value)
  if (Number.isNaN(moment))
    throw new StaveError('usage', `--filter ${text} is not understood`, { hint: 'Write until=24h, until=2026-01-31 or a time in seconds.' })
  return moment
}

/** How a name may be written: short, with its tag, in full. */
function namesOf({ repository, tag, record }: ImageRow): readonly string[] {
  return [repository, `${repository}:${tag}`, record.name, record.name.replace(/:[^/:]*$/, '')]
}

/** `*` and `?` stop at a slash, `[a-z]` is one of these. */
function nameGlob(text: string): RegExp {
  const source = text.replace(/\*|\?|\[[^\]/]+\]|[.+^${}()|[\]\\]/g, (found) => {
    if (found === '*') return '[^/]*'
    if (found === '?') return '[^/]'
    if (found.length > 1) return `[${found.slice(1, -1).replace(/[\\^[\]]/g, String.raw`\$&`)}]`
    return `\\${found}`
  })
  try {
    return new RegExp(`^${source}$`)
  } catch {
    throw new StaveError('usage', `${JSON.stringify(text)} is not a pattern`, { hint: 'Patterns look like acme/*:1.[0-9].' })
  }
}
