import { writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { replaceFile, withFileErrors } from '#image/file.ts'
import type { Outcome } from '#mirror/apply.ts'
import type { InRegistries } from '#mirror/find.ts'
import { formatMetrics } from '#mirror/metrics.ts'
import { formatPlace, type Pair } from '#mirror/plan.ts'
import { formatPlan, totalsOf } from '#mirror/plan-file.ts'
import type { Survey } from '#mirror/survey.ts'
import { formatReference, type Reference } from '#oci/reference.ts'
import type { Values } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import type { Report } from '../output/report.ts'
import type { Settings } from '../settings.ts'
import type { syncFlags } from './commands.ts'

type SyncFlags = Values<typeof syncFlags>

/** What a run has done. */
export interface Ran {
  readonly outcomes: readonly Outcome[]
  readonly failures: InRegistries['failures']
  readonly deleted: readonly Reference[]
  readonly startedAt: number
}

/** Tells what became of a run, in all the ways that were asked for. @returns the exit status */
export async function tell(report: Report, flags: SyncFlags, settings: Settings, ran: Ran): Promise<number> {
  const { outcomes, failures, deleted } = ran
  const seconds = (performance.now() - ran.startedAt) / 1000
  if (flags.digestfile !== undefined) writeDigests(resolve(settings.cwd, flags.digestfile), outcomes)
  if (flags.metrics !== undefined) {
    const path = resolve(settings.cwd, flags.metrics)
    const text = formatMetrics({ outcomes, failures: failures.length, deletions: deleted.length, seconds, endedAt: Date.now() / 1000 })
    // Collectors read it at any moment.
    await withFileErrors(`write ${path}`, () => replaceFile(path, (temporary) => writeFile(temporary, text)))
  }
  if (flags.json) {
    report.json({
      images: outcomes.map(asJson),
      failures: failures.map(({ repository, error }) => ({ repository, error: messageOf(error) })),
      ...((flags.prune || flags.apply !== undefined) && { deletions: deleted.map(formatReference) }),
    })
  }
  const failed = conclude(report, outcomes, { quiet: flags.quiet ?? false, seconds })
  return failed + failures.length === 0 ? 0 : 1
}

/** `--plan`: writes the plan, or prints it as the result, and says what it comes to. */
export async function writePlan(
  report: Report,
  flags: SyncFlags,
  settings: Settings,
  plan: { readonly survey: Survey; readonly deletions: readonly Reference[]; readonly list?: string | undefined },
): Promise<void> {
  const format = flags.format === undefined ? {} : { format: flags.format === 'oci' ? ('oci' as const) : ('docker' as const) }
  const options = { all: flags.all !== false, referrers: flags.referrers ?? false, ...format }
  const document = formatPlan(plan.survey, plan.deletions, { options, list: plan.list })
  const path = flags.plan!
  if (path === '-') report.json(document)
  else {
    const text = `${JSON.stringify(document, undefined, 2)}\n`
    const whole = resolve(settings.cwd, path)
    await withFileErrors(`write ${path}`, () => replaceFile(whole, (temporary) => writeFile(temporary, text)))
  }
  if (flags.quiet) return
  const { images, copies, manifests, blobs, bytes, mounts, deletions } = totalsOf(plan.survey, plan.deletions)
  const parts = [`${manifests} manifests`, `${blobs} blobs of ${formatBytes(bytes)}`, `${mounts} mounted`, `${deletions} tags deleted`]
  report.note(`would copy ${copies} of ${count(images)}: ${parts.join(', ')}`)
}

/** `--dry-run`: names alone, nothing is compared. */
export function printNames(report: Report, flags: SyncFlags, pairs: readonly Pair[], doomed: readonly Reference[]): void {
  const images = pairs.map(({ from, to }) => ({ from: formatPlace(from.place), to: formatPlace(to) }))
  if (flags.json) report.json({ images, ...(flags.prune && { deletions: doomed.map(formatReference) }) })
  else for (const { from, to } of images) report.print(`${from} ${to}`)
  if (flags.quiet) return
  for (const reference of doomed) report.note(`would delete docker://${formatReference(reference)}`)
  report.note(`would sync ${count(pairs.length)}`)
}

/** As skopeo writes them. */
function writeDigests(path: string, outcomes: readonly Outcome[]): void {
  const lines = outcomes.flatMap(({ pair, root }) => (root === undefined ? [] : [`${root.digest} ${formatPlace(pair.to)}\n`]))
  writeFileSync(path, lines.join(''))
}

function asJson({ pair, state, root, error }: Outcome) {
  return {
    from: formatPlace(pair.from.place),
    to: formatPlace(pair.to),
    state,
    ...(root !== undefined && { digest: root.digest }),
    ...(error !== undefined && { error: messageOf(error.cause) }),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Names what failed, and sums up. @returns how many failed */
function conclude(report: Report, outcomes: readonly Outcome[], options: { quiet: boolean; seconds: number }): number {
  for (const { error } of outcomes) if (error !== undefined) report.error(error)
  const of = (state: Outcome['state']) => outcomes.filter((outcome) => outcome.state === state).length
  const parts = [`${of('copied')} copied`, `${of('present')} there already`]
  if (of('failed') > 0) parts.push(`${of('failed')} failed`)
  if (of('skipped') > 0) parts.push(`${of('skipped')} not tried to the end`)
  if (!options.quiet) report.note(`synced ${count(of('copied') + of('present'))} in ${options.seconds.toFixed(1)}s: ${parts.join(', ')}`)
  return of('failed')
}

function count(images: number): string {
  return images === 1 ? '1 image' : `${images} images`
}
