import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { applyPlan, type Outcome } from '#mirror/apply.ts'
import { findInDirectory, findInRegistries, type InRegistries } from '#mirror/find.ts'
import type { ListedRegistry } from '#mirror/list.ts'
import { formatPlace, planMirror, type Pair } from '#mirror/plan.ts'
import { findSurplus } from '#mirror/prune.ts'
import { openState, type MirrorState } from '#mirror/state.ts'
import { isNameOnly, parseRepository, type Wanted } from '#mirror/wanted.ts'
import { hostPlatform } from '#oci/platform.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import type { Invocation, Values } from '../command.ts'
import type { Places } from '#places/places.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import type { Report } from '../output/report.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { syncFlags } from './commands.ts'
import { sideOf } from '../images/copy.ts'
import { openGuard } from '../trust/guard.ts'

type SyncFlags = Values<typeof syncFlags>

const usualPruneLimit = 20

/** Mirrors what a source has to a target. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof syncFlags>): Promise<number> {
  const started = performance.now()
  const [source, target] = args as [string, string]
  check(flags, source, target)
  if (flags.quiet) report.mode('quiet')
  await using places = new AsyncDisposableStack()
  const open = (choices: RegistryChoices): Places => places.use(createPlaces(settings, choices, () => openSession(settings)))
  const readers = new Map<string | undefined, Places>([[undefined, open(sideOf(flags, 'src'))]])
  const writer = open(sideOf(flags, 'dest'))
  const guard = await openGuard(sideOf(flags, 'src'), settings)
  const sources = async (account: string | undefined): Promise<RegistryClient> => {
    const client = await readers.get(account)!.client()
    if (guard === undefined) return client
    return { ...client, open: (reference) => guard(client.open(reference), { transport: 'docker', name: formatReference(reference) }) }
  }

  const find = async (): Promise<InRegistries> => {
    if (flags.src === 'dir') return { found: await findInDirectory(resolve(settings.cwd, source)), failures: [], empty: [] }
    const registries = flags.src === 'yaml' ? await readList(cx, settings, source) : []
    for (const listed of registries) readers.set(listed.name, open(choicesOf(listed, sideOf(flags, 'src'))))
    const wanted = flags.src === 'yaml' ? registries.flatMap((listed) => listed.wanted) : [typed(source)]
    return findInRegistries(cx, wanted, sources, { keepGoing: flags['keep-going'] ?? false })
  }
  const { found, failures, empty } = await find()
  for (const { error } of failures) report.error(error)
  if (found.length === 0 && failures.length === 0) throw new StaveError('not-found', `cannot sync ${source}: there is no image in it`)
  for (const repository of empty) cx.report({ type: 'warning', message: `there is nothing to sync in ${repository}` })

  const pairs = planMirror(found, {
    transport: flags.dest === 'dir' ? 'dir' : 'docker',
    target: flags.dest === 'dir' ? resolve(settings.cwd, target) : target,
    scoped: flags.scoped ?? false,
    suffix: flags['append-suffix'] ?? '',
  })
  const state = flags.state === undefined || flags['dry-run'] ? undefined : await openState(resolve(settings.cwd, flags.state))
  // Found before anything is copied: a source that lost much is not to be followed in part.
  const doomed = flags.prune ? await findSurplus(cx, pairs, await writer.client(), flags['prune-limit'] ?? usualPruneLimit) : []
  const outcomes = flags['dry-run']
    ? undefined
    : await applyPlan(cx, pairs, {
        sources,
        targets: () => writer.client(),
        ...(flags.all === false && { platform: hostPlatform(process.arch) }),
        ...(flags.format !== undefined && { format: flags.format === 'oci' ? 'oci' : 'docker' }),
        referrers: flags.referrers ?? false,
        keepGoing: flags['keep-going'] ?? false,
        ...(state !== undefined && { state }),
      })
  const isWhole = failures.length === 0 && outcomes?.every(({ state: became }) => became === 'copied' || became === 'present') === true
  if (isWhole) await pruneTags(cx, doomed, await writer.client(), state)
  await state?.close()
  await report.settle()
  if (outcomes === undefined) {
    printPlan(report, flags, pairs, doomed)
    return failures.length === 0 ? 0 : 1
  }
  if (flags.digestfile !== undefined) writeDigests(resolve(settings.cwd, flags.digestfile), outcomes)
  if (flags.json) {
    report.json({
      images: outcomes.map(asJson),
      failures: failures.map(({ repository, error }) => ({ repository, error: messageOf(error) })),
      ...(flags.prune && { deletions: isWhole ? doomed.map(formatReference) : [] }),
    })
  }
  const failed = conclude(report, outcomes, { quiet: flags.quiet ?? false, seconds: (performance.now() - started) / 1000 })
  return failed + failures.length === 0 ? 0 : 1
}

/** Tags alone: what else has their manifests stays. */
async function pruneTags(cx: Context, doomed: readonly Reference[], client: RegistryClient, state: MirrorState | undefined): Promise<void> {
  for (const reference of doomed) {
    const place = formatPlace({ transport: 'docker', reference })
    await client.open(reference).deleteTag(cx, reference.tag!)
    await state?.forget(place)
    cx.report({ type: 'step', id: place, title: `deleting ${place}`, state: 'done' })
  }
}

function printPlan(report: Report, flags: SyncFlags, pairs: readonly Pair[], doomed: readonly Reference[]): void {
  const images = pairs.map(({ from, to }) => ({ from: formatPlace(from.place), to: formatPlace(to) }))
  if (flags.json) report.json({ images, ...(flags.prune && { deletions: doomed.map(formatReference) }) })
  else for (const { from, to } of images) report.print(`${from} ${to}`)
  if (flags.quiet) return
  for (const reference of doomed) report.note(`would delete docker://${formatReference(reference)}`)
  report.note(`would sync ${count(pairs.length)}`)
}

function check(flags: SyncFlags, source: string, target: string): void {
  for (const name of ['src', 'dest'] as const) {
    if (flags[name] !== undefined) continue
    throw new StaveError('usage', `stave sync: --${name} is missing`, {
      hint: 'Say what both are, such as --src docker --dest dir. See stave sync --help.',
    })
  }
  if (flags.src === 'dir' && flags.dest === 'dir') {
    throw new StaveError('usage', 'stave sync: a directory is not synced to a directory', {
      hint: 'cp -a and rsync copy such images as they are.',
    })
  }
  if (flags.prune && (flags.dest !== 'docker' || !isAll(flags, source))) {
    throw new StaveError('usage', 'stave sync: --prune is for whole repositories that are synced to a registry', {
      hint: 'Of one image, or of a directory, nobody knows what else there should be.',
    })
  }
  for (const operand of [source, target]) {
    const prefix = /^(?:docker:\/\/|dir:)/.exec(operand)?.[0]
    if (prefix === undefined) continue
    throw new StaveError('usage', `stave sync: ${JSON.stringify(operand)} begins with a transport`, {
      hint: `Write ${operand.slice(prefix.length)}: --src and --dest say what it is.`,
    })
  }
  if (flags['preserve-digests'] && flags.format !== undefined)
    throw new StaveError('usage', '--preserve-digests and --format exclude each other: another format has another digest')
}

/** Does the source say all that is to be there? */
function isAll(flags: SyncFlags, source: string): boolean {
  return flags.src === 'yaml' || (flags.src === 'docker' && isNameOnly(source))
}

/** A repository, with all its tags, or one image. */
function typed(source: string): Wanted {
  if (isNameOnly(source)) return { repository: parseRepository(source), choice: { kind: 'all' } }
  const { registry, repository, tag, digest } = parseReference(source)
  return { repository: { registry, repository }, choice: { kind: 'names', names: [digest ?? tag!] } }
}

async function readList(cx: Context, settings: Settings, path: string): Promise<readonly ListedRegistry[]> {
  const { parseList } = await import('#mirror/list.ts')
  const text = await withFileErrors(`read ${path}`, async () => readFileSync(resolve(settings.cwd, path), 'utf8'))
  const { registries, unknown } = parseList(text, path)
  for (const { key, line } of unknown)
    cx.report({ type: 'warning', message: `${key} means nothing`, file: path, ...(line !== undefined && { line }) })
  return registries
}

/** What a list says of a registry goes before the flags. */
function choicesOf({ tlsVerify, certDir, credentials }: ListedRegistry, flags: RegistryChoices): RegistryChoices {
  return {
    ...flags,
    ...(tlsVerify !== undefined && { 'tls-verify': tlsVerify }),
    ...(certDir !== undefined && { 'cert-dir': certDir }),
    ...(credentials && { creds: `${credentials.username}:${credentials.password}` }),
  }
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
