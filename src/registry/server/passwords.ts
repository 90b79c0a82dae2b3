import { createHmac, randomBytes } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import * as limit from '#limit.ts'
import { Refusal } from './answer.ts'
import { costOf, isPassword } from './htpasswd.ts'
import type { Question, Verdict } from './password-worker.ts'

/** Checks names and passwords. */
export interface Passwords extends AsyncDisposable {
  /**
   * Is it the user's password? What is wrong takes the same time for a name that exists and one that does not.
   *
   * @throws Refusal 429, when too many wait for their check already
   */
  check(user: string, password: string): Promise<boolean>
}

/** A check of some hash: true when it is the password. */
type Check = (given: string, kept: string) => Promise<boolean>

/** @param users Names and passwords: plain, or hashed as in an htpasswd file */
export function createPasswords(users: Readonly<Record<string, string>>): Passwords {
  const secret = randomBytes(32)
  const key = (...parts: readonly string[]) => createHmac('sha256', secret).update(parts.join('\n')).digest('base64')
  // A password hash is slow on purpose: what was right once is remembered, as a digest under this process's key.
  const proven = new Set<string>()
  const underWay = new Map<string, Promise<boolean>>()
  const slowest = Object.values(users).reduce((most, kept) => (costOf(kept) > costOf(most) ? kept : most), '')
  const worker = createChecker()

  const verify: Check = async (given, kept) => (costOf(kept) === 0 ? isPassword(given, kept) : worker.check(given, kept))

  async function decide(user: string, password: string): Promise<boolean> {
    const kept = Object.hasOwn(users, user) ? users[user]! : undefined
    if (kept !== undefined && (await verify(password, kept))) return true
    // Whoever measures must not learn which names there are.
    if (costOf(kept ?? '') < costOf(slowest)) await verify(password, slowest)
    return false
  }

  return {
    async check(user, password) {
      const seen = key(user, Object.hasOwn(users, user) ? users[user]! : '', password)
      if (proven.has(seen)) return true
      // The requests of one client come many at a time, all with the same password.
      let deciding = underWay.get(seen)
      if (deciding === undefined) {
        deciding = decide(user, password).finally(() => underWay.delete(seen))
        underWay.set(seen, deciding)
      }
      const isRight = await deciding
      if (isRight) proven.add(seen)
      return isRight
    },
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  }
}

interface Checker extends AsyncDisposable {
  readonly check: Check
}

/** One thread for all slow checks, one after the other; it is started by the first. */
function createChecker(): Checker {
  const waiting = new Map<number, (isRight: boolean) => void>()
  let thread: Promise<Worker> | undefined
  let next = 0

  async function start(): Promise<Worker> {
    const { Worker: Thread } = await import('node:worker_threads')
    const name = import.meta.url.endsWith('.ts') ? './password-worker.ts' : './password-worker.js'
    const started = new Thread(new URL(name, import.meta.url))
    started.on('message', ({ id, isRight }: Verdict) => {
      waiting.get(id)?.(isRight)
      waiting.delete(id)
    })
    // Without the thread nobody gets in, which is the safe way to be broken; the next check starts another.
    started.on('error', () => {
      thread = undefined
      for (const answer of waiting.values()) answer(false)
      waiting.clear()
    })
    started.unref()
    return started
  }

  return {
    async check(given, kept) {
      if (waiting.size >= limit.passwordsWaiting)
        throw new Refusal(429, 'TOOMANYREQUESTS', 'too many passwords are being checked', { 'retry-after': 1 })
      const id = next++
      const { promise, resolve } = Promise.withResolvers<boolean>()
      waiting.set(id, resolve)
      thread ??= start()
      const question: Question = { id, given, kept }
      ;(await thread).postMessage(question)
      return promise
    },
    async [Symbol.asyncDispose]() {
      await (await thread)?.terminate()
    },
  }
}
