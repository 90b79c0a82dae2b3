import { StaveError, type ErrorCode } from '#error.ts'
import type { Failure, FailureKind, Verb } from './protocol.ts'

/** Why a job failed, as the native half said it. It is the `cause` of the StaveError that a job throws. */
export class RunnerFailure extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(detail(failure))
    this.name = 'RunnerFailure'
    this.failure = failure
  }
}

/** What the message did not say: the system call and its error, or nothing. */
function detail({ operation, path, errno }: Failure): string {
  if (operation === undefined && errno === undefined) return ''
  const where = path === undefined || operation?.includes(path) ? [] : [JSON.stringify(path)]
  return [[...(operation === undefined ? [] : [operation]), ...where].join(' '), ...(errno === undefined ? [] : [errno])]
    .filter((part) => part !== '')
    .join(': ')
}

const codes: Readonly<Record<FailureKind, ErrorCode>> = {
  request: 'runner',
  escape: 'escape',
  corrupt: 'invalid-layer',
  'digest-mismatch': 'digest-mismatch',
  'size-mismatch': 'size-mismatch',
  'too-large': 'too-large',
  'not-found': 'not-found',
  exists: 'conflict',
  'not-directory': 'conflict',
  'no-user': 'not-found',
  permission: 'permission',
  'no-space': 'no-space',
  unsupported: 'unsupported',
  isolation: 'isolation',
  'command-not-found': 'command-not-found',
  'command-not-executable': 'command-not-executable',
  state: 'container-state',
  cancelled: 'cancelled',
  io: 'io',
}

const hints: Partial<Record<FailureKind, string>> = {
  request: 'This is a fault of Stave: please report it.',
  corrupt: 'The layer is damaged or was made wrongly: pull or build the image again.',
  'no-space': 'Free space on the file system of the store: stave prune removes what is not used.',
}

/** The error for a job's `failure`. Exit statuses are Docker's: 127 not found, 126 not executable. */
export function failureError(verb: Verb, failure: Failure): StaveError {
  const hint = failure.hint ?? hints[failure.kind]
  const exitCode =
    failure.kind === 'command-not-found' ? 127 : failure.kind === 'command-not-executable' ? 126 : starts(verb) ? 125 : undefined
  return new StaveError(codes[failure.kind] ?? 'runner', failure.message, {
    cause: new RunnerFailure(failure),
    ...(hint !== undefined && { hint }),
    ...(exitCode !== undefined && { exitCode }),
  })
}

/** The verbs whose exit status is that of a user's command, so that a failure of Stave must be told apart from it. */
function starts(verb: Verb): boolean {
  return verb === 'run' || verb === 'exec'
}
