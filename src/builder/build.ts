import { layout, pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { BuildOptions, BuildResult, Output } from './options.ts'
import type { BaseImage } from './input/images.ts'
import type { Plan } from './plan/plan.ts'
import type { Session } from './session.ts'
import type { Dockerfile, Instruction } from '#dockerfile/instruction.ts'
import type { Store } from '#store/store.ts'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readlinkSync, renameSync, symlinkSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { isBuiltInFrontend } from '#dockerfile/directives.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { StaveError } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import { formatPlatform, hostPlatform, parsePlatform } from '#oci/platform.ts'
import { checkAnnotations } from './result/annotations.ts'
import { checkOutputs } from './result/check-outputs.ts'
import { normalizeTags } from './result/result.ts'
import { openContexts } from './input/context.ts'
import { createDigests } from './input/digests.ts'
import { createImages } from './input/images.ts'
import { epochOf, timeOf } from './input/epoch.ts'
import { digestsOfBinds } from './input/binds.ts'
import { planAll } from './planning.ts'
import { capBuildLogs } from '#store/logs.ts'
import { createLogs } from './record/log.ts'
import { createSecrets } from './input/secrets.ts'
import { createSlots } from './solve/slots.ts'

/**
 * Builds what a Dockerfile says, and brings the result to the places that were asked for.
 *
 * @throws StaveError `dockerfile`, `build-failed`, `not-found`, `secret-missing`, and what places and the runner throw
 */
export async function build(cx: Context, options: BuildOptions): Promise<BuildResult> {
  // A name that the result cannot have is told before anything is built.
  normalizeTags(options.tags ?? [])
  checkOutputs(options)
  const secrets = createSecrets(options.secrets)
  await using contexts = openContexts(options, secrets)
  const { text, file } = await contexts.dockerfile(cx)
  try {
    const dockerfile = basedOn(parseDockerfile(text, { file }), options.from)
    checkSyntax(options.buildArgs?.['BUILDKIT_SYNTAX'] ?? dockerfile.directives.syntax, file)
    if (options.print === 'instructions') return nothing(options.id ?? newId(), dockerfile)
    if (options.until === undefined) return await buildParsed(cx, options, dockerfile, contexts, createImages(options), secrets)
    const { cutAt } = await import('./until.ts')
    const cut = cutAt(dockerfile, options.until)
    return await buildParsed(cx, { ...options, target: cut.target }, cut.dockerfile, contexts, createImages(options), secrets)
  } catch (error) {
    // Whoever shows the error can show the line.
    if (error instanceof StaveError && error.span?.file === file) error.text ??= text
    throw error
  }
}

function basedOn(dockerfile: Dockerfile, image: string | undefined): Dockerfile {
  const [first, ...others] = dockerfile.stages
  if (image === undefined || first === undefined) return dockerfile
  return { ...dockerfile, stages: [{ ...first, from: { ...first.from, image } }, ...others] }
}

/** Docker's own frontends are what is built in. Any other one is a program that would read the file in its own way. */
function checkSyntax(syntax: string | undefined, file: string): void {
  if (syntax === undefined || isBuiltInFrontend(syntax)) return
  throw new StaveError('unsupported', `cannot build ${file}: it asks for the frontend ${syntax}`, {
    hint: 'If it is a Dockerfile nevertheless, build it with --build-arg BUILDKIT_SYNTAX=docker/dockerfile:1.',
  })
}

function newId(): string {
  return randomBytes(8).toString('hex')
}

/** A result without images. */
function nothing(id: string, printed: unknown): BuildResult {
  return { id, images: [], descriptor: undefined, names: [], pushed: [], metadata: {}, steps: [], printed, logs: '' }
}

async function buildParsed(
  cx: Context,
  options: BuildOptions,
  dockerfile: Dockerfile,
  contexts: Session['contexts'],
  images: Session['images'],
  secrets: Session['secrets'],
): Promise<BuildResult> {
  const { store } = options
  const host = hostPlatform(process.arch)
  const targets = platformsOf(options, host)
  checkAnnotations(options, targets.length)
  const bases = new Map<string, BaseImage>()
  const binds = await digestsOfBinds(cx, store, options.sandbox?.binds ?? [])
  const planning = { options, dockerfile, contexts, images, bases, binds, targets, host }
  let plans = await planAll(cx, planning)
  const said = epochOf(planning, plans[0] as Plan)
  const epoch = typeof said === 'string' ? await timeOf(cx, { planning, secrets }, said, plans[0] as Plan) : said
  if (typeof said === 'string') {
    if (epoch === undefined) {
      const hint = 'A git repository has one, and what a server sends with a Last-Modified.'
      cx.report({ type: 'warning', message: `SOURCE_DATE_EPOCH=${said} is not used: ${said} has no time`, hint })
    }
    plans = await planAll(cx, planning, epoch ?? '')
  }
  const id = options.id ?? newId()
  const remote =
    options.cacheFrom === undefined || options.cacheFrom.length === 0
      ? undefined
      : await (await import('./cache/remote-cache.ts')).openRemoteCache(cx, options)
  const session: Session = {
    id,
    options,
    store,
    images,
    contexts,
    digests: createDigests(store, remote),
    secrets,
    logs: createLogs(store, id),
    slots: createSlots(options.jobs ?? availableParallelism()),
    remote,
    format: {
      ...(options.compression === undefined || options.compression === 'gzip' ? {} : { compression: options.compression }),
      ...(options.compressionLevel !== undefined && { level: options.compressionLevel }),
      ...(epoch !== undefined && { epoch }),
    },
    output: {
      compression: options.compression ?? 'gzip',
      ...(options.compressionLevel !== undefined && { level: options.compressionLevel }),
      ...(epoch !== undefined && { epoch }),
    },
    startedAt: Date.now(),
    materials: new Map(),
    emptied: new Set(),
    disposals: [],
    records: [],
    keys: new Map(),
    because: new Map(),
    last: options.explain === true ? lastPreImages(store, projectLink(options, contexts)) : {},
    architecture: host.architecture,
  }
  if (options.print !== undefined) {
    const { printPlan } = await import('./print.ts')
    return nothing(id, await printPlan(cx, session, plans, bases, options.print))
  }
  warn(cx, options, dockerfile, plans)
  const asksForChecks = dockerfile.directives.check !== undefined || options.buildArgs?.['BUILDKIT_DOCKERFILE_CHECK'] !== undefined
  if (asksForChecks || options.findings === true) {
    const { reportFindings } = await import('./check.ts')
    const isFromContext = plans.some(({ steps }) => steps.some(({ op }) => op.kind === 'local' && op.context === ''))
    await reportFindings(cx, session, dockerfile, { platform: targets[0] as Platform, host, isFromContext }, bases)
  }
  const result = await carryOut(cx, session, plans, bases).catch(async (error: unknown) => {
    // That the images are there is no less true of a build that failed; what it failed of is what is told.
    if (!cx.signal.aborted) await images.keep(cx, bases.values()).catch(() => undefined)
    throw error
  })
  await images.keep(cx, bases.values())
  return result
}

async function carryOut(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  bases: ReadonlyMap<string, BaseImage>,
): Promise<BuildResult> {
  const { options, id, store, remote } = session
  const outputs: readonly Output[] = options.outputs === undefined || options.outputs.length === 0 ? [{ type: 'image' }] : options.outputs
  const wantTrees = outputs.some(takesFiles) ? plans.flatMap(({ stage }) => (stage.top === undefined ? [] : [stage.top])) : []
  const steps = plans.flatMap((planned) => planned.steps)
  const inResult = plans.flatMap(({ stage }) => stage.history.flatMap(({ step }) => (step === undefined ? [] : [step])))
  let names: readonly string[] = []
  try {
    // Loaded while the first steps run.
    const finishing = import('./result/finish.ts')
    const { solve } = await import('./solve/solve.ts')
    for (;;) {
      try {
        const solution = await solve(cx, session, { steps, bases, wantTrees: new Set(wantTrees), inResult })
        if (options.until !== undefined) {
          const { stopAt } = await import('./until.ts')
          await stopAt(session, plans[0] as Plan, solution)
          return { ...nothing(id, undefined), steps: recordsOf(session), logs: session.logs.directory }
        }
        const { finish } = await finishing
        const finished = await finish(cx, session, plans, bases, solution, outputs)
        names = finished.names
        return { ...finished, id, steps: recordsOf(session), logs: session.logs.directory }
      } catch (error) {
        if (remote?.isAtFault(error) !== true) throw error
        // A layer that a remote cache had promised did not come, or was another. All else is done already and found again.
        cx.report({
          type: 'warning',
          message: 'a remote cache did not have what it said: building without that',
          hint: (error as Error).message,
        })
        session.records.length = 0
      }
    }
  } finally {
    for (const dispose of session.disposals) await dispose()
    session.logs.finish(cx, {
      id,
      steps: recordsOf(session),
      names,
      project: session.contexts.project,
      preImages: Object.fromEntries([...session.keys].map(([step, { preImage }]) => [step, preImage])),
    })
    linkLast(store, projectLink(options, session.contexts), id)
    capBuildLogs(store)
  }
}

/** `local` is this machine; one that is named twice is built once. */
function platformsOf({ platforms = [] }: BuildOptions, host: Platform): readonly Platform[] {
  if (platforms.length === 0) return [host]
  const parsed = platforms.map((text) => (text.trim() === 'local' ? host : parsePlatform(text.trim(), host)))
  return [...new Map(parsed.map((platform) => [formatPlatform(platform), platform])).values()]
}

/** Where the last build of a project is remembered, so that the next one can say what has changed since. */
function projectLink(options: BuildOptions, contexts: Session['contexts']): string {
  const identity = [contexts.project, options.file ?? '', options.target ?? '', ...(options.platforms ?? [])]
  return layout.lastBuild(digestHex(digestOf(identity.join('\n'))))
}

function lastPreImages(store: Store, link: string): Readonly<Record<string, string>> {
  try {
    const id = readlinkSync(pathOf(store, link))
    const record = JSON.parse(readFileSync(pathOf(store, layout.buildRecord(id)), 'utf8')) as { preImages?: Record<string, string> }
    return record.preImages ?? {}
  } catch {
    // The first build of it, or its log was pruned.
    return {}
  }
}

function linkLast(store: Store, link: string, id: string): void {
  const path = pathOf(store, link)
  const fresh = `${path}.${id}`
  try {
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(id, fresh)
    renameSync(fresh, path)
  } catch {
    // A full disk: the next build cannot say what has changed, and this one has its own error to tell.
  }
}

/** Does this output take files out of the result's tree? */
function takesFiles(output: Output): boolean {
  return output.type === 'local' || output.type === 'tar'
}

function recordsOf(session: Session): BuildResult['steps'] {
  return session.records.map((record) => {
    const because = record.state === 'cached' ? undefined : session.because.get(record.id)
    const log = session.logs.fileOf(record.id)
    return {
      ...record,
      key: session.keys.get(record.id)?.key,
      ...(log !== undefined && { log }),
      ...(because !== undefined && { because }),
    }
  })
}

function warn(cx: Context, options: BuildOptions, dockerfile: Dockerfile, plans: readonly Plan[]): void {
  for (const { message, span, hint } of plans.flatMap(({ warnings }) => warnings)) {
    cx.report({
      type: 'warning',
      message,
      ...(span !== undefined && { file: span.file, line: span.line }),
      ...(hint !== undefined && { hint }),
    })
  }
  const stages = new Set(dockerfile.stages.flatMap(({ name, index }) => [`${index}`, ...(name === undefined ? [] : [name])]))
  const unknown = (options.noCacheFilter ?? []).filter((name) => !stages.has(name.toLowerCase()))
  if (unknown.length > 0) cx.report({ type: 'warning', message: `--no-cache-filter names what is no stage: ${unknown.join(', ')}` })
  const known = new Set([...dockerfile.globals, ...dockerfile.stages.flatMap(({ instructions }) => instructions)].flatMap(declaredBy))
  const unused = Object.keys(options.buildArgs ?? {}).filter((name) => !known.has(name) && !isPredefined(name))
  if (unused.length > 0) {
    cx.report({
      type: 'warning',
      message: `build arguments that no ARG declares: ${unused.join(', ')}`,
      hint: 'Declare them with ARG in the stage that uses them.',
    })
  }
}

function declaredBy(instruction: Instruction): readonly string[] {
  if (instruction.kind === 'ONBUILD') return declaredBy(instruction.trigger)
  return instruction.kind === 'ARG' ? instruction.args.map(({ key }) => key) : []
}

/** Proxies, and what steers the build itself. @see builder reference 1.3 */
function isPredefined(name: string): boolean {
  return /^(?:https?|ftp|no|all)_proxy$/i.test(name) || name.startsWith('BUILDKIT_') || name === 'SOURCE_DATE_EPOCH'
}
