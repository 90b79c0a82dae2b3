import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { abortedError, type Headers } from './exchange.ts'
import { errorCode } from './problem.ts'

/** How often and how long a request is repeated. */
export interface RetryPolicy {
  /** How many times at most a request is sent. */
  readonly attempts: number
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** A longer Retry-After is not waited for: the request fails and says so. */
  readonly maxRetryAfterMs: number
}

export const defaultRetry: RetryPolicy = { attempts: 5, firstDelayMs: 200, maxDelayMs: 10_000, maxRetryAfterMs: 120_000 }

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

/** A port where nothing listens is a mistake more often than a restart: it is tried again, but not for long. */
export function attemptsFor(error: unknown, policy: RetryPolicy): number {
  return errorCode(error) === 'ECONNREFUSED' ? Math.min(policy.attempts, 3) : policy.attempts
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
