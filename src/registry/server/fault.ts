/** Something that goes wrong, on purpose: for tests of clients. */
export interface Fault {
  /** Which requests: all fields that are there must match. */
  readonly method?: string
  readonly path?: RegExp
  /** How many matching requests pass first. Default: 0. */
  readonly after?: number
  /** How many are struck. Default: 1. */
  readonly times?: number

  /** Answers this instead. */
  readonly status?: number
  readonly retryAfter?: string
  /** Answers 307 to this address. */
  readonly redirect?: string | ((path: string) => string)
  /** Breaks the connection after so many bytes of the response's body. */
  readonly cutAfter?: number
  /** Breaks the connection after so many bytes of the request's body. */
  readonly cutUploadAfter?: number
  /** Changes the first byte of the body. */
  readonly corrupt?: boolean
  /** Sends the body no faster. */
  readonly bytesPerSecond?: number
  /** Waits before anything is done. */
  readonly delayMs?: number
  /** Leaves these out of the answer. In lower case. */
  readonly dropHeaders?: readonly string[]
}

/** Faults that are still to happen. Rules can be added at any time. */
export interface Faults {
  add(fault: Fault): void
  clear(): void
  /** The fault that strikes this request, if any. */
  strike(method: string, path: string): Fault | undefined
}

export function createFaults(initial: readonly Fault[] = []): Faults {
  let rules = initial.map((fault) => ({ fault, seen: 0 }))
  return {
    add: (fault) => void rules.push({ fault, seen: 0 }),
    clear: () => void (rules = []),
    strike(method, path) {
      for (const rule of rules) {
        const { fault } = rule
        if (fault.method !== undefined && fault.method !== method) continue
        if (fault.path !== undefined && !fault.path.test(path)) continue
        const turn = rule.seen++
        const first = fault.after ?? 0
        if (turn >= first && turn < first + (fault.times ?? 1)) return fault
      }
      return undefined
    },
  }
}
