/** What callers of the client may choose. In a file of its own, so that the library's types need those of no other package. */

/** Which part of a list of names is wanted. */
export interface ListOptions {
  /** Names after this one only. */
  readonly last?: string
  /** No more than these many. */
  readonly limit?: number
}

/** How often and how long a request is repeated. */
export interface RetryPolicy {
  /** How many times at most a request is sent. */
  readonly attempts: number
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** A longer Retry-After is not waited for: the request fails and says so. */
  readonly maxRetryAfterMs: number
  /** How long an answer to a request may take that leaves nothing to do but to answer. */
  readonly answerMs: number
}
