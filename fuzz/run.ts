import { cpuUsage } from 'node:process'
import { randomOf } from './random.ts'
import type { Target } from './target.ts'

/** The longest that one small input may take, in milliseconds of the processor: the clock also counts what other programs did. */
const patienceMs = 2_000

export interface Limits {
  readonly seed: number
  /** Inputs to try. */
  readonly rounds?: number
  /** Time to go on for. */
  readonly seconds?: number
}

export interface Outcome {
  readonly rounds: number
  readonly slowestMs: number
}

/** Tries a target until a limit is reached. @throws Error with the input on which it failed */
export async function fuzz(
  target: Target,
  { seed, rounds = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY }: Limits,
): Promise<Outcome> {
  const random = randomOf(seed)
  const end = performance.now() + seconds * 1000
  let slowestMs = 0
  let done = 0
  for (; done < rounds && performance.now() < end; done++) {
    const { input, work } = target.next(random)
    const shown = `(seed ${seed}, round ${done}) on ${JSON.stringify(input.slice(0, 4_000))}`
    const started = cpuUsage()
    try {
      const waiting = work()
      if (waiting !== undefined) await waiting
    } catch (error) {
      throw new Error(`${target.name} fails ${shown}`, { cause: error })
    }
    const { user, system } = cpuUsage(started)
    const ms = (user + system) / 1000
    if (ms > patienceMs) throw new Error(`${target.name} takes ${Math.round(ms)} ms ${shown}`)
    slowestMs = Math.max(slowestMs, ms)
  }
  return { rounds: done, slowestMs }
}
