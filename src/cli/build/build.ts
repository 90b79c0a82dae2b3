import { resolve } from 'node:path'
import { build } from '#builder/build.ts'
import type { BuildOptions, BuildResult, Output } from '#builder/options.ts'
import { isGitUrl, isHttpUrl } from '#builder/plan/source-url.ts'
import { StaveError } from '#error.ts'
import { digestHex, isDigest } from '#oci/digest.ts'
import type { Invocation, Values } from '../command.ts'
import { buildOptions } from './options.ts'
import { buildPlaces } from './places.ts'
import { createPlaces } from '../places.ts'
import { resultFile, writeResult } from '../output/result-file.ts'
import type { ProgressMode, Report } from '../output/report.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { buildFlags } from './flags.ts'

/** Builds an image. Its ID goes to stdout, or to `--iidfile`. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof buildFlags>): Promise<number> {
  const mode = progressMode(flags, settings.env['BUILDKIT_PROGRESS'])
  if (flags.logfile === undefined) report.mode(mode)
  else report.mode(mode === 'json' ? mode : 'plain', resultFile(resolve(settings.cwd, flags.logfile)))
  const context = args[0] ?? (flags.file === undefined ? undefined : '.')
  if (context === undefined)
    throw new StaveError('usage', 'stave build: the context is missing', { hint: 'For this directory, write stave build .' })
  if (flags.check || flags.call !== undefined) {
    const { describe, parseCall } = await import('./call.ts')
    const { what, format } = flags.check ? parseCall(flags.call ?? 'check') : parseCall(flags.call as string)
    const job = { cx, flags, context, settings, report, format }
    if (what === 'check' || flags.check) return (await import('./check.ts')).checkBuild(job)
    if (what !== 'build') return describe({ ...job, what })
  }

  await using session = await openSession(settings)
  const asked = buildOptions(flags, context, settings)
  const credentials = flags.creds === undefined ? undefined : (await import('./credentials.ts')).buildCredentials(asked)
  await using places = createPlaces(settings, { ...flags, ...(credentials && { credsFor: credentials.isFor }) }, async () => session)
  const ssh = sshWords(flags.ssh, context, settings)
  await using agents = ssh.length === 0 ? undefined : await (await import('./ssh-agents.ts')).openSshAgents(ssh, settings)
  const options: BuildOptions = {
    ...asked,
    // As with docker, -q leaves them to `stave check`.
    findings: mode !== 'quiet',
    ...(agents !== undefined && { ssh: agents.sources }),
    store: session.store,
    places: { ...buildPlaces(places), ...(credentials && { expect: credentials.expect }) },
    ...(context === '-' || flags.file === '-' ? { stdin: process.stdin } : {}),
  }
  if (flags['verify-reproducible']) return await (await import('./verify-reproducible.ts')).verifyReproducible(cx, options, session, report)
  const debug = flags.debug ? { onStop: (await import('./debug-shell.ts')).debugShell(cx, report) } : {}
  const result = await build(cx, { ...options, ...debug })
  await report.settle()
  tell(result, flags, options.outputs ?? [], settings.cwd, report)
  return 0
}

/** A context that the caller names by ssh is fetched with the caller's agent, as with buildx. */
function sshWords(words: readonly string[], context: string, settings: Settings): readonly string[] {
  const isNamed = words.some((word) => word.split('=')[0] === 'default')
  const isSsh = isGitUrl(context) && !isHttpUrl(context) && !context.startsWith('git://')
  return isNamed || !isSsh || !settings.env['SSH_AUTH_SOCK'] ? words : [...words, 'default']
}

function tell(result: BuildResult, flags: Values<typeof buildFlags>, outputs: readonly Output[], cwd: string, report: Report): void {
  if (result.printed !== undefined) return report.json(result.printed)
  const [image] = result.images
  // Files alone, or the cache, are no image that could be named by it.
  const id = result.descriptor === undefined ? undefined : result.images.length === 1 ? image?.configDigest : result.descriptor.digest
  const write = (file: string | undefined, text: string): void => {
    if (file !== undefined) writeResult(resolve(cwd, file), text)
  }
  if (id !== undefined) {
    write(flags.iidfile, id)
    write(flags['iidfile-raw'], digestHex(id))
  } else if (flags.iidfile !== undefined || flags['iidfile-raw'] !== undefined) {
    report.event({
      type: 'warning',
      message: '--iidfile: nothing is written, because files are no image',
      hint: 'Add --output type=image.',
    })
  }
  write(flags['metadata-file'], `${JSON.stringify(result.metadata, undefined, 2)}\n`)
  if (flags.explain) {
    for (const step of result.steps) {
      report.note(`${step.title}: ${step.state === 'cached' ? 'cached' : 'not cached'}`)
      for (const line of step.because ?? []) report.note(`  ${line}`)
    }
  }
  // With a file or stream as the output, stdout is its.
  if (id !== undefined && !outputs.some((output) => 'dest' in output && output.dest === '-')) report.print(id)
  // On stderr, a program reads JSON.
  const isForPeople = !flags.quiet && !['json', 'rawjson', 'quiet', 'none'].includes(flags.progress ?? '')
  if (isForPeople) for (const name of result.names.filter((text) => !isDigest(text))) report.note(`named ${name}`)
}

function progressMode(flags: Values<typeof buildFlags>, environment: string | undefined): ProgressMode {
  if (flags.quiet) return 'quiet'
  const typed = flags.progress ?? environment
  if (typed === 'rawjson') return 'json'
  if (typed === 'none') return 'quiet'
  return (['auto', 'plain', 'tty', 'json', 'quiet'] as const).find((mode) => mode === typed) ?? 'auto'
}
