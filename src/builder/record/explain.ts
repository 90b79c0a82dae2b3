import { layout, pathOf } from '#store/layout.ts'
import type { Store } from '#store/store.ts'
import type { Digest } from '#oci/digest.ts'
import type { PreImage, StepKey } from '../plan/key.ts'
import { readFileSync } from 'node:fs'
import { canonical } from '../plan/key.ts'

/** Most differences that are told. */
const most = 10

/** Most earlier tries that are looked at: each may have long listings. */
const mostTries = 5

/**
 * Says why a step was not found in the cache: what differs from the nearest earlier one. Tries are what stood in its
 * place in the last build of this project, and the newest ones of the same operation, which may be another project's.
 *
 * @param last pre-image of the step in the same place of the last build
 */
export function explainMiss(store: Store, key: StepKey, last: string | undefined): readonly string[] {
  const same = store.cache.byOperation(key.opKey).filter((record) => record.key !== key.key)
  const tries = [...(last === undefined ? [] : [last]), ...same.slice(0, mostTries).map(({ explanation }) => explanation)]
  if (tries.length === 0) return ['it was not built before']
  const now = JSON.parse(key.preImage) as PreImage
  let nearest: readonly string[] | undefined
  for (const before of tries) {
    const differences = before === key.preImage ? [] : compare(store, JSON.parse(before) as PreImage, now)
    if (nearest === undefined || differences.length < nearest.length) nearest = differences
  }
  if (nearest === undefined || nearest.length === 0) return ['its result is not in the store any more']
  return nearest.length > most ? [...nearest.slice(0, most), `and ${nearest.length - most} more`] : nearest
}

function compare(store: Store, before: PreImage, now: PreImage): readonly string[] {
  const result = operation(before.op, now.op)
  if (before.state !== now.state) result.push('the files that it works on changed: the base image, or what a step before it left')
  for (const [at, digest] of now.inputs.entries()) {
    const earlier = before.inputs[at]
    if (earlier !== undefined && earlier !== digest) result.push(...files(store, earlier, digest))
  }
  if (before.inputs.length !== now.inputs.length)
    result.push(`it reads ${now.inputs.length} selections of files instead of ${before.inputs.length}`)
  if (canonical(before.layer ?? {}) !== canonical(now.layer ?? {}))
    result.push(`layers are written differently: ${canonical(before.layer ?? {})} → ${canonical(now.layer ?? {})}`)
  return result
}

function operation(before: PreImage['op'], now: PreImage['op']): string[] {
  const result: string[] = []
  for (const field of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (canonical(before[field] ?? null) === canonical(now[field] ?? null)) continue
    if (field === 'env') result.push(...variables((before['env'] ?? []) as readonly string[], (now['env'] ?? []) as readonly string[]))
    else result.push(`${fieldNames[field] ?? field} changed: ${short(before[field])} → ${short(now[field])}`)
  }
  return result
}

const fieldNames: Readonly<Record<string, string>> = {
  args: 'the command',
  cwd: 'WORKDIR',
  user: 'USER',
  to: 'the destination',
  items: 'what is copied',
  mounts: 'the mounts',
  network: 'the network',
  chown: '--chown',
  chmod: '--chmod',
  platform: 'the platform',
  kind: 'the instruction',
}

function variables(before: readonly string[], now: readonly string[]): readonly string[] {
  const read = (entries: readonly string[]): Map<string, string> =>
    new Map(entries.map((entry) => [entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1)]))
  const [old, current] = [read(before), read(now)]
  const result: string[] = []
  for (const name of new Set([...old.keys(), ...current.keys()]))
    if (old.get(name) !== current.get(name)) result.push(`variable ${name} changed: ${short(old.get(name))} → ${short(current.get(name))}`)
  return result.length === 0 ? ['the order of its variables changed'] : result
}

function short(value: unknown): string {
  if (value === undefined || value === null) return 'none'
  const text = typeof value === 'string' ? JSON.stringify(value) : canonical(value)
  return text.length > 120 ? `${text.slice(0, 119)}…` : text
}

/** Which files differ, from the listings of both selections. */
function files(store: Store, before: Digest, now: Digest): readonly string[] {
  const [old, current] = [listing(store, before), listing(store, now)]
  if (old === undefined || current === undefined) return [`the files that it reads changed: ${before} → ${now}`]
  const result: string[] = []
  for (const path of [...new Set([...old.keys(), ...current.keys()])].sort()) {
    const [was, is] = [old.get(path), current.get(path)]
    if (was !== is)
      result.push(was === undefined ? `file ${path} is new` : is === undefined ? `file ${path} is gone` : changed(path, was, is))
  }
  return result
}

/** A line is the path, the kind, the mode, the owner, and what the content is named by. */
function changed(path: string, was: string, is: string): string {
  const [old, current] = [was.split(' '), is.split(' ')]
  const differing = old.flatMap((field, at) => (field === current[at] ? [] : [at]))
  if (old.length !== current.length || differing.some((at) => at !== 2 && at !== 3)) return `file ${path} changed`
  const parts = differing.map((at) => `${at === 2 ? 'mode' : 'owner'} ${old[at]} → ${current[at]}`)
  return `file ${path}: ${parts.join(', ')}`
}

/** Entries of a listing by path. A line is a path (odd bytes escaped), a space, and the rest. */
function listing(store: Store, digest: Digest): Map<string, string> | undefined {
  let text: string
  try {
    text = readFileSync(pathOf(store, layout.listing(digest)), 'utf8')
  } catch {
    // Pruned, or made by another machine.
    return undefined
  }
  const entries = new Map<string, string>()
  for (const line of text.split('\n')) {
    const end = line.indexOf(' ')
    if (line !== '') entries.set(end < 0 ? line : line.slice(0, end), line)
  }
  return entries
}
