import { isDeepStrictEqual } from 'node:util'
import type { Outcome } from './image.ts'
import type { Delta, Entry } from './tree.ts'

/**
 * Each difference as one line: what it is about, then Stave's value and the peer's.
 * `/srv/a mode: 0644, peer 0755` · `/srv directory mtime: 981173106, peer now` · `config Env: [...], peer [...]` · `builds, peer fails: …`
 */
export function compare(ours: Outcome, theirs: Outcome, ignore: readonly string[] = []): readonly string[] {
  if (ours.failed !== undefined || theirs.failed !== undefined) {
    if (ours.failed !== undefined && theirs.failed !== undefined) return []
    return [ours.failed === undefined ? `builds, peer fails: ${theirs.failed}` : `fails: ${ours.failed}, peer builds`]
  }
  return [...compareConfigs(ours.config ?? {}, theirs.config ?? {}), ...compareTrees(ours.tree ?? {}, theirs.tree ?? {}, new Set(ignore))]
}

function compareConfigs(ours: Readonly<Record<string, unknown>>, theirs: Readonly<Record<string, unknown>>): readonly string[] {
  return [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].flatMap((field) =>
    isDeepStrictEqual(ours[field], theirs[field]) ? [] : [`config ${field}: ${show(ours[field])}, peer ${show(theirs[field])}`],
  )
}

function compareTrees(ours: Delta, theirs: Delta, ignore: ReadonlySet<string>): readonly string[] {
  const paths = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter((path) => !ignore.has(path)).sort()
  return paths.flatMap((path) => {
    const one = ours[path]
    const other = theirs[path]
    if (one === undefined || one === null || other === undefined || other === null)
      return (one ?? undefined) === (other ?? undefined) && one === other ? [] : [`${path}: ${state(one)}, peer ${state(other)}`]
    return compareEntries(path, one, other)
  })
}

/** In a delta: absent is as in the base, null is deleted. */
function state(entry: Entry | null | undefined): string {
  return entry === undefined ? 'untouched' : entry === null ? 'deleted' : `${entry.type} ${entry.mode} ${entry.owner}`
}

function compareEntries(path: string, one: Entry, other: Entry): readonly string[] {
  const fields = new Set([...Object.keys(one), ...Object.keys(other)]) as ReadonlySet<keyof Entry>
  return [...fields].flatMap((field) =>
    isDeepStrictEqual(one[field], other[field])
      ? []
      : [`${path}${field === 'mtime' ? ` ${one.type}` : ''} ${field}: ${show(one[field])}, peer ${show(other[field])}`],
  )
}

function show(value: unknown): string {
  return value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value)
}
