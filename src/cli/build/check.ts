import { check, type Checked } from '#builder/check.ts'
import type { BuildOptions } from '#builder/options.ts'
import type { Context } from '#context.ts'
import { checkJson } from '#dockerfile/call-json.ts'
import { formatWarnings, warningsToSarif } from '#dockerfile/lint-report.ts'
import { StaveError } from '#error.ts'
import type { Invocation, Values } from '../command.ts'
import { buildOptions } from './options.ts'
import { buildPlaces } from './places.ts'
import { untyped } from '../parse.ts'
import { createPlaces } from '../places.ts'
import type { Report } from '../output/report.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import { buildFlags, type checkFlags } from './flags.ts'
import { version } from '../version.ts'

/** `stave check`: BuildKit's rules. @returns 1 if they found something, as with docker */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof checkFlags>): Promise<number> {
  const build = untyped(buildFlags)
  const { format, ...shared } = flags
  return checkBuild({ cx, flags: { ...build, ...shared }, context: args[0] ?? '.', settings, report, format })
}

export interface CheckJob {
  readonly cx: Context
  readonly flags: Values<typeof buildFlags>
  readonly context: string
  readonly settings: Settings
  readonly report: Report
  readonly format?: string | undefined
}

/** Also `stave build --check`. */
export async function checkBuild(job: CheckJob): Promise<number> {
  const { report } = job
  let checked: Checked
  try {
    checked = await withBuildOptions(job, (options) => check(job.cx, options))
  } catch (error) {
    // What no build could do is found here too, and told in the form that was asked for.
    if (job.format !== 'json' || !(error instanceof StaveError) || error.span === undefined || error.text === undefined) throw error
    report.json(checkJson([], { file: error.span.file, text: error.text }, error))
    return 1
  }
  const { text, warnings, isError, dockerfile } = checked
  if (job.format === 'json') report.json(checkJson(warnings, { file: dockerfile.file, text }))
  else if (job.format === 'sarif') report.write(warningsToSarif(warnings, { version, isError }))
  else {
    report.write(formatWarnings(warnings, text))
    report.print(
      warnings.length === 0
        ? 'Check complete, no warnings found.'
        : `Check complete, ${warnings.length} warning${warnings.length === 1 ? '' : 's'} found.`,
    )
  }
  return warnings.length > 0 ? 1 : 0
}

/** Opens what a build needs, for what looks at a build without doing it. */
export async function withBuildOptions<T>(job: CheckJob, look: (options: BuildOptions) => Promise<T>): Promise<T> {
  await using session = await openSession(job.settings)
  await using places = createPlaces(job.settings, job.flags, async () => session)
  return await look({
    ...buildOptions(job.flags, job.context, job.settings),
    store: session.store,
    places: buildPlaces(places),
    ...(job.context === '-' || job.flags.file === '-' ? { stdin: process.stdin } : {}),
  })
}
