/** Lets a bounded number in at a time. */
export interface Gate {
  /** Waits for a free place, and returns how to leave it. Rejects with the signal's reason when that comes first. */
  enter(signal?: AbortSignal): Promise<() => void>
}

/** A gate with so many places; who waits is let in by turn. */
export function createGate(places: number): Gate {
  let free = places
  const waiting: (() => void)[] = []
  const leave = () => {
    const next = waiting.shift()
    if (next === undefined) free++
    else next()
  }
  return {
    async enter(signal) {
      if (free > 0) {
        free--
        return leave
      }
      return new Promise((resolve, reject) => {
        const abort = () => {
          waiting.splice(waiting.indexOf(proceed), 1)
          reject(signal?.reason as Error)
        }
        const proceed = () => {
          signal?.removeEventListener('abort', abort)
          resolve(leave)
        }
        signal?.addEventListener('abort', abort, { once: true })
        waiting.push(proceed)
      })
    },
  }
}
