import type { Context } from '#context.ts'
import { withSignal } from '#context.ts'
import { StaveError } from '#error.ts'

/**
 * Does something that reports its progress, and gives it up when nothing has been reported for so long: how long a
 * transfer takes depends on its size, but one that stands still will not end.
 *
 * @throws StaveError `timeout`
 */
export async function withoutStall<T>(cx: Context, ms: number, body: (cx: Context) => Promise<T>): Promise<T> {
  const stalled = new AbortController()
  const timer = setTimeout(() => stalled.abort(), ms)
  const { signal } = withSignal(cx, stalled.signal)
  try {
    return await body({
      signal,
      report(event) {
        timer.refresh()
        cx.report(event)
      },
    })
  } catch (error) {
    if (!stalled.signal.aborted || cx.signal.aborted) throw error
    throw new StaveError('timeout', `there was no progress for ${ms / 1000} s`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}
