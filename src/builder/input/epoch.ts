import type { Context } from '#context.ts'
import type { ResolvedStage } from '#dockerfile/stage.ts'
import type { Plan } from '../plan/plan.ts'
import type { Planning } from '../planning.ts'
import type { Session } from '../session.ts'
import type { FetchOp, GitOp, Step } from '../plan/step.ts'
import { pathOf } from '#store/layout.ts'
import { newestFile } from './newest.ts'
import { didYouMean } from '#text/suggest.ts'
import { resolveStages } from '#dockerfile/stage.ts'
import { placed, StaveError } from '#error.ts'
import { plan } from '../plan/plan.ts'
import { planOptions } from '../planning.ts'

/** SOURCE_DATE_EPOCH as a build argument, as an option, or as the default of a global ARG: seconds since 1970, or a word. Empty: none. */
export function epochOf({ options }: Planning, { globals }: Plan): number | string | undefined {
  const text = options.buildArgs?.['SOURCE_DATE_EPOCH'] ?? options.epoch?.toString() ?? globals.values.get('SOURCE_DATE_EPOCH')
  if (text === undefined || text === '') return undefined
  return /^\d{1,12}$/.test(text) ? Number(text) : text
}

type Sources = Pick<Session, 'secrets'> & { readonly planning: Planning }

/**
 * The time that a word stands for: `context` is the build context, any other the named context or the stage of this name,
 * which then is no more than one ADD from the network. A git repository has the time of its commit, and what comes by
 * http that of its Last-Modified, else that of the newest file in it.
 *
 * @returns seconds since 1970; undefined where there is no such time
 * @throws StaveError `usage` for another word
 * @see builder reference 1.3
 */
export async function timeOf(cx: Context, { planning, secrets }: Sources, word: string, { globals }: Plan): Promise<number | undefined> {
  const { contexts, dockerfile } = planning
  const wanted = word.toLowerCase()
  if (word === 'context') return contexts.time(cx, '')
  if (contexts.named.has(wanted)) return contexts.time(cx, wanted)
  const stages = resolveStages(dockerfile, globals)
  const stage = stages.find(({ stage: { name } }) => name === wanted)
  if (stage !== undefined) return timeOfStage(cx, { planning, secrets }, stage)
  if (wanted === 'context') return contexts.time(cx, '')
  const names = ['context', ...contexts.named.keys(), ...stages.flatMap(({ stage: { name } }) => name ?? [])]
  throw new StaveError(
    'usage',
    `cannot use SOURCE_DATE_EPOCH=${word}: it is no number of seconds since 1970, nor "context", a named context or a stage`,
    { hint: didYouMean(wanted, names) ?? 'Write a number, as `git log -1 --format=%ct` prints it.' },
  )
}

async function timeOfStage(cx: Context, { planning, secrets }: Sources, stage: ResolvedStage): Promise<number | undefined> {
  const step = onlySource(planning, stage)
  const { options, contexts } = planning
  const session = { store: options.store, options, contexts, secrets, materials: new Map<string, never>() }
  if (step.op.kind === 'git') {
    const { checkoutOf } = await import('./git.ts')
    const tree = await checkoutOf(cx, session, step.op).catch((error: unknown) => {
      throw placed(error, step.span)
    })
    await tree.dispose()
    return tree.time
  }
  const { fetchUrl } = await import('./fetch.ts')
  const { mtime, file } = await fetchUrl(cx, session, step, step.op)
  return mtime ?? newestFile(pathOf(options.store, file.path ?? ''))
}

/** The one thing that a stage fetches, if it does nothing else. */
function onlySource(planning: Planning, { stage, base }: ResolvedStage): Step & { readonly op: FetchOp | GitOp } {
  const fail = (why: string, span = stage.from.span): StaveError =>
    new StaveError('dockerfile', `cannot take SOURCE_DATE_EPOCH from stage ${stage.name ?? ''}: ${why}`, {
      span,
      hint: 'Such a stage is FROM scratch with one ADD of a URL or of a git repository.',
    })
  if (base.kind !== 'scratch') throw fail('it is not FROM scratch')
  const other = stage.instructions.find(({ kind }) => kind !== 'ARG' && kind !== 'ADD')
  if (other !== undefined) throw fail(`it has a ${other.kind}`, other.span)
  const target = planning.targets[0] ?? planning.host
  const planned = plan(planning.dockerfile, { ...planOptions(planning, target, ''), target: stage.name ?? '' }, new Map())
  const steps = 'plan' in planned ? planned.plan.steps : []
  const [adding, ...more] = steps.filter(({ op }) => op.kind === 'copy')
  const [source] = adding?.inputs ?? []
  const isOne = adding?.op.kind === 'copy' && adding.op.items.length === 1 && more.length === 0
  if (!isOne || source === undefined || (source.op.kind !== 'fetch' && source.op.kind !== 'git'))
    throw fail('it does not have exactly one ADD with one source from the network')
  return source as Step & { readonly op: FetchOp | GitOp }
}
