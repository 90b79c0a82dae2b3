import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { failureError } from './failure.ts'
import { protocolVersion, type Request, type Results, type RunnerEvent, type Verb } from './protocol.ts'
import type { Stdio } from './stdio.ts'

/** A request whose Places carry descriptors of this process, before they are renumbered for the wire. */
export type LocalRequest<V extends Verb> = Omit<Extract<Request, { verb: V }>, 'version'>

export interface ProcessOptions<V extends Verb> {
  readonly binary: string
  readonly request: LocalRequest<V>
  readonly signal: AbortSignal
  readonly env: Readonly<Record<string, string>>
  readonly stdio?: Stdio
  /** Events on the way: everything but `hello`, `result` and `failure`. */
  readonly onEvent?: (event: RunnerEvent<V>) => void
  /** From the end of the lifeline to SIGKILL. */
  readonly graceMs?: number
}

/** A runner process: its result, and its pid for what needs it while it runs (`/proc/<pid>/ns/user`). */
export interface RunnerProcess<V extends Verb> {
  readonly pid: number
  readonly result: Promise<Results[V]>
  /** Passes a signal on to the container. */
  deliver(signal: NodeJS.Signals): void
  /** Ends the lifeline: the runner stops what it does and cleans up. */
  close(): void
  /** Lets this process end although the runner still runs. */
  unref(): void
  /** Takes that back: for whoever waits for the result. */
  ref(): void
}

/** How much of a dying runner's standard error is kept for the message. */
const maxStderrBytes = 16 * 1024
const quiet: Stdio = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }

/**
 * Renders a request as its line on the wire. Descriptors are numbered from 5 on, in the order in which they
 * appear; `fds[i]` is what becomes number `5 + i`.
 */
export function encodeRequest<V extends Verb>(request: LocalRequest<V>): { line: string; fds: number[] } {
  const fds: number[] = []
  const line = JSON.stringify({ version: protocolVersion, ...request }, (key, value: unknown) => {
    if (key !== 'fd' || typeof value !== 'number') return value
    const known = fds.indexOf(value)
    return 5 + (known >= 0 ? known : fds.push(value) - 1)
  })
  return { line: `${line}\n`, fds }
}

/** Starts one job. The promise settles when the process has ended and all that it wrote has been read. */
export function startRunner<V extends Verb>(options: ProcessOptions<V>): RunnerProcess<V> {
  const { binary, request, signal, env, onEvent } = options
  const verb: Verb = request.verb
  if (signal.aborted) throw cancelled(verb, signal)
  const user = options.stdio ?? quiet
  const { line, fds } = encodeRequest(request)
  // The runner's own last words (a panic) go to standard error. Where that belongs to the user's process, they are there.
  const captures = options.stdio === undefined
  const stdio: StdioOptions = [user.stdin, stream(user.stdout), captures ? 'pipe' : stream(user.stderr), 'pipe', 'pipe', ...fds]
  let child: ChildProcess
  try {
    child = spawn(binary, [verb], { stdio, env, detached: false, shell: false })
  } catch (error) {
    throw cannotStart(binary, error)
  }
  const lifeline = child.stdio[3] as Writable
  const events = child.stdio[4] as Readable
  let stderr = ''
  if (typeof user.stdout === 'function') child.stdout?.on('data', user.stdout)
  if (captures) {
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-maxStderrBytes)
    })
  } else if (typeof user.stderr === 'function') child.stderr?.on('data', user.stderr)

  // A runner that died before it read its request: the exit status tells, EPIPE adds nothing.
  lifeline.on('error', () => {})
  lifeline.write(line)

  const result = new Promise<Results[V]>((resolve, reject) => {
    let grace: NodeJS.Timeout | undefined
    const abort = () => {
      lifeline.destroy()
      grace ??= setTimeout(() => child.kill('SIGKILL'), options.graceMs ?? 10_000)
    }
    const said = listen<V>(events, { binary, verb, onEvent, onBreach: abort })
    const over = () => {
      signal.removeEventListener('abort', abort)
      clearTimeout(grace)
    }
    signal.addEventListener('abort', abort, { once: true })
    child.once('error', (error) => {
      over()
      reject(cannotStart(binary, error))
    })
    child.once('close', (code, killedBy) => {
      over()
      lifeline.destroy()
      const { answer } = said
      if (answer !== undefined && 'result' in answer) return resolve(answer.result)
      if (signal.aborted) return reject(cancelled(verb, signal, answer?.error))
      reject(answer?.error ?? unanswered(verb, killedBy ?? code, stderr.trim()))
    })
  })
  return {
    pid: child.pid ?? 0,
    result,
    // Not as a signal to the runner, where it could fall together with one that the terminal sends.
    deliver: (passed) => void lifeline.write(Uint8Array.of(constants.signals[passed])),
    close: () => void lifeline.destroy(),
    unref() {
      child.unref()
      for (const end of [lifeline, events, child.stderr] as (Partial<NodeJS.RefCounted> | null)[]) end?.unref?.()
    },
    ref() {
      child.ref()
      for (const end of [events, child.stderr] as (Partial<NodeJS.RefCounted> | null)[]) end?.ref?.()
    },
  }
}

/** What a runner has answered: in the end, one of both. */
type Answer<V extends Verb> = { readonly result: Results[V] } | { readonly error: Error }

interface Listening<V extends Verb> {
  readonly binary: string
  readonly verb: Verb
  readonly onEvent: ProcessOptions<V>['onEvent'] | undefined
  /** What the runner said cannot be understood: nothing more is expected of it. */
  readonly onBreach: () => void
}

/** Reads what a runner says, in this order: a greeting, events, and one answer. */
function listen<V extends Verb>(events: Readable, { binary, verb, onEvent, onBreach }: Listening<V>): { answer: Answer<V> | undefined } {
  const said: { answer: Answer<V> | undefined } = { answer: undefined }
  let greeted = false
  const breach = (message: string) => {
    said.answer ??= { error: new StaveError('runner', `cannot understand stave-runner ${verb}: ${message}`) }
    onBreach()
  }
  const onLine = (text: string) => {
    let event: RunnerEvent<V>
    try {
      event = JSON.parse(text) as RunnerEvent<V>
    } catch {
      return breach(`it wrote ${JSON.stringify(text.slice(0, 200))}`)
    }
    if (!greeted) {
      if (event.event !== 'hello') return breach(`it began with ${JSON.stringify(event.event)} instead of a greeting`)
      if (event.version !== protocolVersion) return breach(versionProblem(binary, event.version))
      greeted = true
      return
    }
    if (said.answer !== undefined) {
      said.answer = undefined
      return breach('it went on after its last event')
    }
    if (event.event === 'result') {
      const { event: _, ...fields } = event
      said.answer = { result: fields as unknown as Results[V] }
    } else if (event.event === 'failure') said.answer = { error: failureError(verb, event) }
    else onEvent?.(event)
  }
  readLines(events, onLine, () => breach('a line is too long'))
  return said
}

/** @param how The exit status, or the signal that ended it */
function unanswered(verb: Verb, how: number | NodeJS.Signals | null, said: string): StaveError {
  const ended = typeof how === 'string' ? `signal ${how}` : `status ${how}`
  return new StaveError('runner', `stave-runner ${verb} ended with ${ended} and without an answer`, {
    ...(said !== '' && { cause: new Error(said) }),
    ...(how === 'SIGKILL' && { hint: 'The kernel kills processes when memory is short: see dmesg.' }),
  })
}

function stream(where: Stdio['stdout']): 'pipe' | 'ignore' | 'inherit' | number {
  return typeof where === 'function' ? 'pipe' : where
}

/** Splits a stream at newlines. A line that ends without one is dropped: its writer was killed in it. */
export function readLines(from: Readable, onLine: (line: string) => void, onTooLong: () => void, maxBytes = limit.runnerLineBytes): void {
  let parts: Buffer[] = []
  let size = 0
  from.on('data', (chunk: Buffer) => {
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = parts.length === 0 ? rest.toString('utf8', 0, end) : Buffer.concat([...parts, rest.subarray(0, end)]).toString()
      parts = []
      size = 0
      rest = rest.subarray(end + 1)
      if (line !== '') onLine(line)
    }
    if (rest.length === 0) return
    parts.push(rest)
    size += rest.length
    if (size <= maxBytes) return
    from.removeAllListeners('data').resume()
    onTooLong()
  })
}

function versionProblem(binary: string, version: unknown): string {
  return `it speaks version ${String(version)} of the protocol, and this is version ${protocolVersion} (${binary} is from another release: build or install it again)`
}

function cannotStart(binary: string, error: unknown): StaveError {
  return new StaveError('runner', `cannot start ${binary}`, {
    cause: error,
    hint: 'Install Stave again, or build the program with npm run build.',
  })
}

function cancelled(verb: Verb, signal: AbortSignal, cause: unknown = signal.reason): StaveError {
  return new StaveError('cancelled', `stave-runner ${verb} was cancelled`, { cause })
}
