import type { Context } from '#context.ts'
import type { StepEvent } from '#event.ts'

/** What a step is called, in events. */
export type StepName = Pick<StepEvent, 'id' | 'title' | 'parent'>

/** How a step can have gone well. */
export type StepOutcome = Pick<StepEvent, 'detail'> & { readonly state: 'done' | 'cached' }

/**
 * Does one piece of work and reports its beginning, its end, and how long it took in milliseconds. What it throws ends it
 * as `cancelled` where the context was, else as `failed`, and is thrown.
 *
 * @param outcomeOf How it went, where there is more to say than `done`
 * @returns what the work returns
 */
export async function withStep<T>(
  cx: Context,
  name: StepName,
  work: () => Promise<T>,
  outcomeOf: (result: T) => StepOutcome = () => ({ state: 'done' }),
): Promise<T> {
  const step = { type: 'step', ...name } as const
  const started = performance.now()
  const durationMs = (): number => Math.round(performance.now() - started)
  cx.report({ ...step, state: 'started' })
  try {
    const result = await work()
    cx.report({ ...step, ...outcomeOf(result), durationMs: durationMs() })
    return result
  } catch (error) {
    cx.report({ ...step, state: cx.signal.aborted ? 'cancelled' : 'failed', durationMs: durationMs() })
    throw error
  }
}
