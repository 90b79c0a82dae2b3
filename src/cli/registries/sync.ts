import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { applyPlan, type MirrorOptions, type Outcome } from '#mirror/apply.ts'
import { findInDirectory, findInRegistries, type InRegistries } from '#mirror/find.ts'
import { formatPlace, planMirror, type Pair } from '#mirror/plan.ts'
import { parsePlan } from '#mirror/plan-file.ts'
import { findSurplus } from '#mirror/prune.ts'
import { openState, type MirrorState } from '#mirror/state.ts'
import { surveyMirror } from '#mirror/survey.ts'
import { hostPlatform } from '#oci/platform.ts'
import { formatReference, type Reference } from '#oci/reference.ts'
import { readDuration } from '#text/duration.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import type { Invocation, Values } from '../command.ts'
import type { Places } from '#places/places.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { syncFlags } from './commands.ts'
import { sideOf } from '../images/copy.ts'
import { openGuard } from '../trust/guard.ts'
import { checkSync } from './sync-check.ts'
import { printNames, tell, writePlan } from './sync-report.ts'
import { choicesOf, readList, typed } from './sync-source.ts'

type SyncFlags = Values<typeof syncFlags>

const usualPruneLimit = 20

/** Mirrors what a source has to a target: once, or again and again. */
export async function run(invocation: Invocation<typeof syncFlags>): Promise<number> {
  const { cx, flags, args, report } = invocation
  checkSync(flags, args)
  if (flags.quiet) report.mode('quiet')
  if (flags.watch === undefined) return once(invocation)
  const [interval, jitter] = [
    milliseconds('watch', flags.watch),
    flags.jitter === undefined ? undefined : milliseconds('jitter', flags.jitter),
  ]
  for (;;) {
    try {
      await once(invocation)
    } catch (error) {
      cx.signal.throwIfAborted()
      // A registry that is away now may be back at the next round.
      report.error(error)
    }
    await sleep(interval + Math.random() * (jitter ?? interval / 10), undefined, { signal: cx.signal })
  }
}

function milliseconds(flag: string, text: string): number {
  const nanoseconds = readDuration(text)
  if (nanoseconds !== undefined && nanoseconds >= 0 && (flag === 'jitter' || nanoseconds > 0)) return nanoseconds / 1e6
  throw new StaveError('usage', `stave sync: --${flag} takes a time such as 1h or 30s, not ${JSON.stringify(text)}`)
}

async function once(invocation: Invocation<typeof syncFlags>): Promise<number> {
  const { cx, flags, settings, report } = invocation
  const startedAt = performance.now()
  await using ends = await openEnds(flags, settings)
  if (flags.apply !== undefined) {
    const { outcomes, deleted } = await applySaved(cx, flags, settings, ends)
    await report.settle()
    return tell(report, flags, settings, { outcomes, failures: [], deleted, startedAt })
  }
  const { failures, pairs } = await findPairs(invocation, ends)
  const state = flags['dry-run'] ? undefined : await openStateOf(flags, settings)
  // Found before anything is copied: a source that lost much is not to be followed in part.
  const doomed = flags.prune ? await findSurplus(cx, pairs, await ends.writer.client(), flags['prune-limit'] ?? usualPruneLimit) : []
  const options = { ...optionsOf(flags, ends), ...(state !== undefined && { state }) }
  if (flags.plan !== undefined) {
    const survey = await surveyMirror(cx, pairs, options)
    await state?.close()
    await report.settle()
    const list = flags.src === 'yaml' ? resolve(settings.cwd, invocation.args[0]!) : undefined
    await writePlan(report, flags, settings, { survey, deletions: doomed, list })
    return failures.length === 0 ? 0 : 1
  }
  if (flags['dry-run']) {
    await report.settle()
    printNames(report, flags, pairs, doomed)
    return failures.length === 0 ? 0 : 1
  }
  const outcomes = await applyPlan(cx, pairs, options)
  const isWhole = failures.length === 0 && outcomes.every(isThere)
  const deleted = isWhole ? await pruneTags(cx, doomed, await ends.writer.client(), state) : []
  await state?.close()
  await report.settle()
  return tell(report, flags, settings, { outcomes, failures, deleted, startedAt })
}

function isThere({ state }: Outcome): boolean {
  return state === 'copied' || state === 'present'
}

/** `--apply`: what the plan says, and nothing else. */
async function applySaved(
  cx: Context,
  flags: SyncFlags,
  settings: Settings,
  ends: Ends,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly deleted: readonly Reference[] }> {
  const path = flags.apply!
  const text = await withFileErrors(`read ${path}`, async () => readFileSync(resolve(settings.cwd, path), 'utf8'))
  const plan = parsePlan(text, path)
  if (plan.list !== undefined)
    for (const listed of await readList(cx, settings, plan.list)) ends.account(listed.name, choicesOf(listed, sideOf(flags, 'src')))
  const digests = new Map(plan.copies.map(({ pair, digest }) => [pair, digest] as const))
  const state = await openStateOf(flags, settings)
  const { all, format, referrers } = plan.options
  const outcomes = await applyPlan(cx, [...digests.keys()], {
    ...optionsOf({ ...flags, all, format, referrers }, ends),
    expected: (pair) => digests.get(pair),
    ...(state !== undefined && { state }),
  })
  const deleted = outcomes.every(isThere) ? await pruneTags(cx, plan.deletions, await ends.writer.client(), state) : []
  await state?.close()
  return { outcomes, deleted }
}

async function openStateOf(flags: SyncFlags, settings: Settings): Promise<MirrorState | undefined> {
  return flags.state === undefined ? undefined : openState(resolve(settings.cwd, flags.state))
}

interface Ends extends AsyncDisposable {
  readonly writer: Places
  /** Opens what a list says of a registry. */
  account(name: string, choices: RegistryChoices): void
  sources(account: string | undefined): Promise<RegistryClient>
}

async function openEnds(flags: SyncFlags, settings: Settings): Promise<Ends> {
  const places = new AsyncDisposableStack()
  const open = (choices: RegistryChoices): Places => places.use(createPlaces(settings, choices, () => openSession(settings)))
  const readers = new Map<string | undefined, Places>([[undefined, open(sideOf(flags, 'src'))]])
  const guard = await openGuard(sideOf(flags, 'src'), settings)
  return {
    writer: open(sideOf(flags, 'dest')),
    account: (name, choices) => void readers.set(name, open(choices)),
    async sources(account) {
      const reader = readers.get(account)
      if (reader === undefined)
        throw new StaveError('invalid-document', `cannot read from ${account}: the list says nothing of it any more`)
      const client = await reader.client()
      if (guard === undefined) return client
      return { ...client, open: (reference) => guard(client.open(reference), { transport: 'docker', name: formatReference(reference) }) }
    },
    [Symbol.asyncDispose]: () => places.disposeAsync(),
  }
}

/** What is there, and where it goes. */
async function findPairs(
  { cx, flags, args, settings, report }: Invocation<typeof syncFlags>,
  ends: Ends,
): Promise<{ readonly failures: InRegistries['failures']; readonly pairs: readonly Pair[] }> {
  const [source, target] = args as [string, string]
  const find = async (): Promise<InRegistries> => {
    if (flags.src === 'dir') return { found: await findInDirectory(resolve(settings.cwd, source)), failures: [], empty: [] }
    const registries = flags.src === 'yaml' ? await readList(cx, settings, source) : []
    for (const listed of registries) ends.account(listed.name, choicesOf(listed, sideOf(flags, 'src')))
    const wanted = flags.src === 'yaml' ? registries.flatMap((listed) => listed.wanted) : [typed(source)]
    return findInRegistries(cx, wanted, ends.sources, { keepGoing: flags['keep-going'] ?? false })
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
  return { failures, pairs }
}

function optionsOf(flags: SyncFlags, ends: Ends): MirrorOptions {
  return {
    sources: ends.sources,
    targets: () => ends.writer.client(),
    ...(flags.all === false && { platform: hostPlatform(process.arch) }),
    ...(flags.format !== undefined && { format: flags.format === 'oci' ? 'oci' : 'docker' }),
    referrers: flags.referrers ?? false,
    keepGoing: flags['keep-going'] ?? false,
  }
}

/** Tags alone: what else has their manifests stays. @returns those that were there to be deleted */
async function pruneTags(
  cx: Context,
  doomed: readonly Reference[],
  client: RegistryClient,
  state: MirrorState | undefined,
): Promise<readonly Reference[]> {
  const deleted: Reference[] = []
  for (const reference of doomed) {
    const place = formatPlace({ transport: 'docker', reference })
    try {
      await client.open(reference).deleteTag(cx, reference.tag!)
      deleted.push(reference)
      cx.report({ type: 'step', id: place, title: `deleting ${place}`, state: 'done' })
    } catch (error) {
      // Somebody was faster.
      if (!hasCode(error, 'not-found')) throw error
    }
    await state?.forget(place)
  }
  return deleted
}
