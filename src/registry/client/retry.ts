import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Response, Headers } from './message.ts'
import { addressOf, type Host } from './host.ts'
import { errorCode, isTransient, networkProblem } from './problem.ts'
import type { RetryPolicy } from './choices.ts'
import { type Call, isStream, type Send } from './stage.ts'

export const defaultRetry: RetryPolicy = {
  attempts: 5,
  firstDelayMs: 200,
  maxDelayMs: 10_000,
  maxRetryAfterMs: 120_000,
  answerMs: 60_000,
}

const passing = new Set([408, 425, 429, 500, 502, 503, 504])

/** Does this status say that the same request may succeed later? */
export function isPassing(status: number): boolean {
  return passing.has(status)
}

/** Would doing it again from the start be worth a try, after a request failed for good? */
export function isWorthRestart(error: unknown): boolean {
  return error instanceof StaveError && ['network', 'timeout', 'too-many-requests', 'registry-problem'].includes(error.code)
}

/** Exponential, with jitter so that many clients do not come back at the same moment. */
export function backoffMs(attempt: number, policy: RetryPolicy): number {
  const full = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** attempt)
  return full / 2 + (Math.random() * full) / 2
}

/**
 * A port where nothing listens is a mistake more often than a restart: it is tried again, but not for long. Who did not
 * answer for a minute will not the next time either.
 */
export function attemptsFor(error: unknown, policy: RetryPolicy): number {
  const code = errorCode(error)
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return 1
  return code === 'ECONNREFUSED' ? Math.min(policy.attempts, 3) : policy.attempts
}

/** The Retry-After field in milliseconds, in either of its forms. @see RFC 9110 §10.2.3 */
export function retryAfterMs(headers: Headers, now = Date.now()): number | undefined {
  const text = headers['retry-after']?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  if (Number.isNaN(date)) return undefined
  // The server's own clock, where it tells it: ours may be wrong.
  const server = Date.parse(headers.date ?? '')
  return Math.max(0, date - (Number.isNaN(server) ? now : server))
}

/** Waits, unless cancelled. */
export async function pause(cx: Context, ms: number): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: cx.signal })
  } catch {
    throw abortedError(cx.signal)
  }
}

/** Repeats what failed in a way that may pass, until it is answered, or the policy says that it is enough. */
export function retrying(policy: RetryPolicy, next: Send): Send {
  return (cx, job) => repeated(cx, policy, { call: job.call, url: addressOf(job.host, job.call), host: job.host }, () => next(cx, job))
}

/** Ends with a response that is not worth repeating, or the last one. @throws StaveError `network`, `timeout`, `tls` */
export async function repeated(
  cx: Context,
  policy: RetryPolicy,
  { call, url, host }: { readonly call: Call; readonly url: URL; readonly host?: Host },
  once: () => Promise<Response>,
): Promise<Response> {
  const isReplayable = call.repeat !== false && !isStream(call.body)
  for (let attempt = 0; ; attempt++) {
    if (host !== undefined && host.pausedUntil > performance.now()) await pause(cx, host.pausedUntil - performance.now())
    let response: Response
    try {
      response = await once()
    } catch (error) {
      if (cx.signal.aborted) throw abortedError(cx.signal)
      if (!isReplayable || !isTransient(error) || attempt + 1 >= attemptsFor(error, policy))
        throw networkProblem(error, call.doing, call.method, url)
      await pause(cx, backoffMs(attempt, policy))
      continue
    }
    if (!isPassing(response.status) || call.expect.includes(response.status)) return response
    const asked = retryAfterMs(response.headers)
    const waitMs = asked ?? backoffMs(attempt, policy)
    if (host !== undefined && asked !== undefined && asked <= policy.maxRetryAfterMs)
      host.pausedUntil = Math.max(host.pausedUntil, performance.now() + asked)
    if (!isReplayable || attempt + 1 >= policy.attempts || waitMs > policy.maxRetryAfterMs) return response
    await response.body.discard()
    if (waitMs > 2000)
      cx.report({ type: 'warning', message: `${url.host} answered ${response.status}; trying again in ${Math.ceil(waitMs / 1000)} s` })
    await pause(cx, waitMs)
  }
}
