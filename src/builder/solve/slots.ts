/** Lets a bounded number of steps work at a time. */
export interface Slots {
  /** Waits for a slot. To be disposed when the work is done; doing it twice does no harm. */
  take(signal: AbortSignal): Promise<Disposable>
}

export function createSlots(count: number): Slots {
  let free = count
  const waiting: (() => void)[] = []

  function slot(): Disposable {
    let held = true
    return {
      [Symbol.dispose]() {
        if (!held) return
        held = false
        const next = waiting.shift()
        if (next === undefined) free++
        else next()
      },
    }
  }

  return {
    async take(signal) {
      signal.throwIfAborted()
      if (free > 0) {
        free--
        return slot()
      }
      return new Promise<Disposable>((resolve, reject) => {
        const start = (): void => {
          signal.removeEventListener('abort', cancel)
          resolve(slot())
        }
        const cancel = (): void => {
          waiting.splice(waiting.indexOf(start), 1)
          reject(signal.reason as Error)
        }
        signal.addEventListener('abort', cancel, { once: true })
        waiting.push(start)
      })
    },
  }
}
