import { StaveError } from '#error.ts'
import type { Event } from '#event.ts'

/** First parameter of everything that waits: how it is cancelled and where it reports. */
export interface Context {
  readonly signal: AbortSignal
  report(event: Event): void
}

/** A context that is never cancelled and reports nowhere. */
export const background: Context = { signal: new AbortController().signal, report() {} }

/** Derives a context that is also cancelled by `signal`. */
export function withSignal(cx: Context, signal: AbortSignal): Context {
  return { signal: AbortSignal.any([cx.signal, signal]), report: (event) => cx.report(event) }
}

/** What an operation fails with when its context was cancelled. */
export function abortedError(signal: AbortSignal): StaveError {
  return signal.reason instanceof StaveError ? signal.reason : new StaveError('cancelled', 'cancelled', { cause: signal.reason })
}
