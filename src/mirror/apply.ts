import { withSignal, type Context } from '#context.ts'
import { StaveError, type ErrorCode } from '#error.ts'
import { copy } from '#image/copy.ts'
import { forEachBounded } from '#image/pool.ts'
import { withStep } from '#image/step.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { look, openEnds, openSource, unchanged, type Clients, type Ends, type Reading } from './ends.ts'
import { formatPlace, type Pair } from './plan.ts'
import type { MirrorState } from './state.ts'

export interface MirrorOptions extends Clients, Reading {
  /** What the source has to have, where that was seen before: another digest is a failure. */
  readonly expected?: (pair: Pair) => Digest | undefined
  /** Go on with the others when one fails. */
  readonly keepGoing?: boolean
  /** What earlier runs have put there; the target is not asked for it. */
  readonly state?: MirrorState
  /** Most images at a time. */
  readonly concurrency?: number
}

export interface Outcome {
  readonly pair: Pair
  /** `skipped`: another one failed before. */
  readonly state: 'copied' | 'present' | 'failed' | 'skipped'
  readonly root?: Descriptor
  readonly error?: StaveError
}

/**
 * Copies each image to its place, several at a time. What the target has under its name already costs a request at
 * each end. All images share the connections, tokens and what is known of the repositories.
 *
 * @returns what became of each, in the order of the pairs; nothing is running any more
 */
export async function applyPlan(cx: Context, pairs: readonly Pair[], options: MirrorOptions): Promise<readonly Outcome[]> {
  const abort = new AbortController()
  const inner = withSignal(cx, abort.signal)
  const ends = openEnds(options)
  const outcomes: Outcome[] = pairs.map((pair) => ({ pair, state: 'skipped' }))
  const keepGoing = options.keepGoing ?? false
  const work = async (index: number): Promise<void> => {
    try {
      const outcome = await applyOne(inner, pairs[index]!, ends, options)
      if (outcome.root !== undefined) await options.state?.note(outcome.pair, outcome.root.digest)
      outcomes[index] = outcome
    } catch (error) {
      cx.signal.throwIfAborted()
      // What was cancelled because of another failure did not fail.
      if (!abort.signal.aborted) outcomes[index] = { pair: pairs[index]!, state: 'failed', error: named(pairs[index]!, error) }
      if (!keepGoing) throw error
    }
  }
  try {
    await forEachBounded([...pairs.keys()], options.concurrency ?? 6, work, (reason) => abort.abort(reason))
  } catch (error) {
    cx.signal.throwIfAborted()
    if (!outcomes.some(({ state }) => state === 'failed')) throw error
  }
  return outcomes
}

function applyOne(cx: Context, pair: Pair, ends: Ends, options: MirrorOptions): Promise<Outcome> {
  const title = `syncing ${formatPlace(pair.from.place)} to ${formatPlace(pair.to)}`
  const work = async (): Promise<Outcome> => {
    const there = options.state?.digestOf(pair) ?? (await look(cx, pair.to, ends))
    const same = there === undefined ? undefined : await unchanged(cx, pair, there, ends, options)
    if (same !== undefined) {
      refuseMoved(same.digest, options.expected?.(pair))
      return { pair, state: 'present', root: same }
    }
    const { source, root } = await openSource(cx, pair, ends, options)
    refuseMoved(root.digest, options.expected?.(pair))
    if (there === root.digest && options.referrers !== true) return { pair, state: 'present', root }
    const { target, name } = await ends.target(pair.to)
    const copied = await copy(cx, source, root, target, { name, parent: title, stepPrefix: title, referrers: options.referrers ?? false })
    await target.finish?.(cx)
    return { pair, state: there === root.digest ? 'present' : 'copied', root: copied }
  }
  return withStep(cx, { id: title, title }, work, ({ state }) => ({ state: state === 'present' ? 'cached' : 'done' }))
}

/** @throws StaveError `conflict` */
function refuseMoved(digest: Digest, expected: Digest | undefined): void {
  if (expected === undefined || expected === digest) return
  throw new StaveError('conflict', `the source has ${digest} now, and the plan is about ${expected}`, {
    hint: 'Make a new plan: stave sync --plan FILE.',
  })
}

/** A failure that names the image. */
export function named({ from, to }: Pair, error: unknown): StaveError {
  const code: ErrorCode = error instanceof StaveError ? error.code : 'io'
  const hint = error instanceof StaveError ? error.hint : undefined
  return new StaveError(code, `cannot sync ${formatPlace(from.place)} to ${formatPlace(to)}`, {
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}
