import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { build } from '#build/build.ts'
import type { BuildOptions, BuildResult } from '#build/options.ts'
import { StaveError } from '#error.ts'
import type { Invocation, Values } from '../command.ts'
import { buildOptions } from '../build-options.ts'
import { buildPlaces } from '../build-places.ts'
import { createPlaces } from '../places.ts'
import type { ProgressMode, Report } from '../report.ts'
import { openSession } from '../session.ts'
import type { buildFlags } from '../table/build-flags.ts'

/** Builds an image. Its ID goes to stdout, or to `--iidfile`. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof buildFlags>): Promise<number> {
  report.mode(progressMode(flags, settings.env['BUILDKIT_PROGRESS']))
  const context = args[0] ?? (flags.file === undefined ? undefined : '.')
  if (context === undefined)
    throw new StaveError('usage', 'stave build: the context is missing', { hint: 'For this directory, write stave build .' })
  if (flags.check || flags.call === 'check') return (await import('./check.ts')).checkBuild({ cx, flags, context, settings, report })
  if (flags.call === 'outline' || flags.call === 'targets')
    return (await import('./call.ts')).describe({ cx, flags, context, settings, report, what: flags.call })

  await using session = await openSession(settings)
  await using places = createPlaces(settings, flags, async () => session)
  const options: BuildOptions = {
    ...buildOptions(flags, context, settings),
    store: session.store,
    places: buildPlaces(places),
    ...(context === '-' || flags.file === '-' ? { stdin: process.stdin } : {}),
  }
  if (flags['verify-reproducible']) return await (await import('./verify-reproducible.ts')).verifyReproducible(cx, options, session, report)
  const debug = flags.debug ? { onStop: (await import('../debug-shell.ts')).debugShell(cx, report) } : {}
  const result = await build(cx, { ...options, ...debug })
  await report.settle()
  await tell(result, flags, settings.cwd, report)
  return 0
}

async function tell(result: BuildResult, flags: Values<typeof buildFlags>, cwd: string, report: Report): Promise<void> {
  if (result.printed !== undefined) return report.json(result.printed)
  const [image] = result.images
  const id = result.images.length === 1 ? image?.configDigest : result.descriptor?.digest
  if (flags.iidfile !== undefined && id !== undefined) writeFileSync(resolve(cwd, flags.iidfile), id)
  if (flags['metadata-file'] !== undefined)
    writeFileSync(resolve(cwd, flags['metadata-file']), `${JSON.stringify(result.metadata, undefined, 2)}\n`)
  if (flags.explain) {
    for (const step of result.steps) {
      report.note(`${step.title}: ${step.state === 'cached' ? 'cached' : 'not cached'}`)
      for (const line of step.because ?? []) report.note(`  ${line}`)
    }
  }
  // With a file or stream as the output, stdout is its.
  if (id !== undefined && !flags.output.some((text) => text === '-' || /dest=-(,|$)/.test(text) || text === 'type=tar')) report.print(id)
  // On stderr, a program reads JSON.
  const isForPeople = !flags.quiet && !['json', 'rawjson', 'quiet', 'none'].includes(flags.progress ?? '')
  if (isForPeople) for (const name of result.names) report.note(`named ${name}`)
}

function progressMode(flags: Values<typeof buildFlags>, environment: string | undefined): ProgressMode {
  if (flags.quiet) return 'quiet'
  const typed = flags.progress ?? environment
  if (typed === 'rawjson') return 'json'
  if (typed === 'none') return 'quiet'
  return (['auto', 'plain', 'tty', 'json', 'quiet'] as const).find((mode) => mode === typed) ?? 'auto'
}
