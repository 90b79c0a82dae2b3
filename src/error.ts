/** A place in a text that a person wrote: a Dockerfile, an ignore file, a policy. Lines and columns count from 1. */
export interface Span {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly endLine: number
  readonly endColumn: number
}

/** Every way in which an operation can fail, as one closed set: stable, and listed by `stave help errors`. */
export type ErrorCode =
  // used wrongly (exit status 2)
  | 'usage'
  // names and documents
  | 'invalid-reference'
  | 'invalid-digest'
  | 'invalid-document'
  | 'unsupported'
  | 'too-large'
  // content
  | 'not-found'
  | 'blob-unknown'
  | 'digest-mismatch'
  | 'size-mismatch'
  | 'platform-mismatch'
  | 'invalid-layer'
  | 'escape'
  // registries
  | 'denied'
  | 'unauthorized'
  | 'too-many-requests'
  | 'registry-problem'
  | 'network'
  | 'tls'
  | 'timeout'
  | 'credentials'
  // the machine
  | 'no-space'
  | 'permission'
  | 'io'
  | 'isolation'
  | 'runner'
  | 'in-use'
  | 'conflict'
  // build
  | 'dockerfile'
  | 'build-failed'
  | 'secret-missing'
  // run
  | 'container-start'
  | 'command-not-found'
  | 'command-not-executable'
  | 'container-state'
  | 'cancelled'

export interface ErrorOptions {
  readonly cause?: unknown
  /** What to do about it, as a sentence. */
  readonly hint?: string
  readonly span?: Span
  /** The whole text that the span lies in, so that its line can be shown. */
  readonly text?: string
  /** The exit status, where it is not the usual 1 (2 for `usage`): a container's own, or 125 to 127. */
  readonly exitCode?: number
}

/**
 * The one error class. `message` says what failed, with the names involved, in lower case and without a full
 * stop; the `cause` chain says why; `hint` says what to do.
 */
export class StaveError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly span: Span | undefined
  /** The text that the span lies in. Whoever has the text adds it, if the thrower had not. */
  text: string | undefined
  readonly exitCode: number

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'StaveError'
    this.code = code
    this.hint = options.hint
    this.span = options.span
    this.text = options.text
    this.exitCode = options.exitCode ?? (code === 'usage' ? 2 : 1)
  }

  /** The same error with more, or something else, said about it. What `change` does not mention stays as it is. */
  with(change: ErrorOptions & { readonly code?: ErrorCode; readonly message?: string }): StaveError {
    const { code = this.code, message = this.message, hint = this.hint, span = this.span, text = this.text } = change
    const changed = new StaveError(code, message, {
      cause: change.cause ?? this.cause,
      exitCode: change.exitCode ?? this.exitCode,
      ...(hint !== undefined && { hint }),
      ...(span !== undefined && { span }),
      ...(text !== undefined && { text }),
    })
    changed.stack = this.stack ?? ''
    return changed
  }
}

/** An error with the place in the text that it is about. One that has a place, and one that is no fault of a text, stay as they are. */
export function placed(error: unknown, span: Span | undefined): unknown {
  const isPlaceless = error instanceof StaveError && error.span === undefined && error.code !== 'cancelled'
  return isPlaceless && span !== undefined ? error.with({ span }) : error
}

/** Is `error` a {@link StaveError} with one of these codes? */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is StaveError {
  return error instanceof StaveError && codes.includes(error.code)
}
