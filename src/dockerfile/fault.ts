import type { Span } from '#error.ts'
import { hasCode, placed, StaveError } from '#error.ts'

/** A mistake in a Dockerfile, at `span`; without one, the caller knows the place: see {@link atSpan}. */
export function fault(message: string, span?: Span, hint?: string, cause?: unknown): StaveError {
  return new StaveError('dockerfile', message, {
    ...(span !== undefined && { span }),
    ...(hint !== undefined && { hint }),
    ...(cause !== undefined && { cause }),
  })
}

/** Runs `work`; an error of it that has no place gets `span`. */
export function atSpan<T>(span: Span | undefined, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw placed(error, span)
  }
}

/** Runs a reader of `text/` on a word of a Dockerfile: what it cannot read is a mistake in that, and none in a command line. */
export function asFault<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw hasCode(error, 'usage') ? error.with({ code: 'dockerfile', exitCode: 1 }) : error
  }
}

/** Text of a file for a message, of which nobody reads megabytes. */
export function shortened(text: string): string {
  return text.length > 1000 ? `${text.slice(0, 1000)}…` : text
}
