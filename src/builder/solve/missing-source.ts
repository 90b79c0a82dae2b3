import type { Solved } from '../solved.ts'
import type { Step } from '../plan/step.ts'
import { StaveError } from '#error.ts'
import { RunnerFailure } from '#runner/failure.ts'

/** Adds the line of the Dockerfile to an error of a step, and for a missing source whether and where it was excluded. */
export function withSource(error: unknown, step: Step, inputs: readonly Solved[]): unknown {
  if (!(error instanceof StaveError) || error.span !== undefined || error.code === 'cancelled') return error
  const failure = error.cause instanceof RunnerFailure ? error.cause.failure : undefined
  let { message, hint } = error
  if (failure?.kind === 'not-found' && failure.path !== undefined && inputs.length > 0) {
    const name = failure.path.replace(/^\/+/, '')
    const directory = inputs.find((input) => input.kind === 'directory')
    message = `cannot use ${JSON.stringify(name)}: it is not in ${directory?.title ?? titleOf(step)}`
    if (failure.ignoredBy !== undefined) {
      message += `: excluded by ${directory?.ignoreFile ?? 'the ignore file'} line ${failure.ignoredBy}`
      hint = `Add "!${name}" below that line.`
    }
  } else if (failure?.kind === 'no-user') hint ??= 'Make the user first (RUN useradd …), or give numbers.'
  return error.with({ message, ...(step.span !== undefined && { span: step.span }), ...(hint !== undefined && { hint }) })
}

/** What a step copies from, if it is no directory: `the image busybox`, `the stage build`. */
function titleOf({ inputs }: Step): string {
  const [input] = inputs
  if (input === undefined) return 'the files that are copied from'
  return input.op.kind === 'image' ? `the image ${input.op.reference}` : `the stage ${input.stage}`
}
