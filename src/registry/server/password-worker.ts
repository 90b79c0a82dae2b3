import { parentPort } from 'node:worker_threads'
import { isPassword } from './htpasswd.ts'

/** One password to check, and its answer's number. */
export interface Question {
  readonly id: number
  readonly given: string
  readonly kept: string
}

export interface Verdict {
  readonly id: number
  readonly isRight: boolean
}

// A hash of a password takes up to a second on purpose. It takes it here, and the thread that serves goes on.
parentPort?.on('message', ({ id, given, kept }: Question) => {
  let isRight = false
  try {
    isRight = isPassword(given, kept)
  } finally {
    parentPort?.postMessage({ id, isRight } satisfies Verdict)
  }
})
