import { StaveError } from '#error.ts'
import type { Invocation } from './command.ts'

type Deliver = (signal: NodeJS.Signals) => void

/** How often a signal is passed on to a container that does not heed it. */
const mostForwarded = 2
/** A container that heeds a signal has mostly ended by then. */
const heedsWithinMs = 1000

const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/** The first Ctrl-C cancels and cleans up; the second ends the process at once. What a command has started may get it instead. */
export function watchSignals(stop: AbortController): Pick<Invocation, 'forwardSignals' | 'shareSignals'> {
  let handle: (signal: NodeJS.Signals) => boolean = () => false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (handle(signal)) return
      if (stop.signal.aborted) process.exit(128 + numbers[signal])
      stop.abort(signal)
    })
  }
  return {
    forwardSignals(deliver) {
      handle = forwarder(deliver)
      passOn(deliver, 'SIGQUIT', 'SIGUSR1', 'SIGUSR2')
    },
    shareSignals(deliver) {
      handle = (signal) => {
        if (signal !== 'SIGINT') deliver(signal)
        return true
      }
      process.on('SIGQUIT', () => {})
      passOn(deliver, 'SIGUSR1', 'SIGUSR2')
    },
  }
}

/** Passes signals on to a container, as long as it is worth while to ask it. */
function forwarder(deliver: Deliver): (signal: NodeJS.Signals) => boolean {
  let forwarded = 0
  return (signal) => {
    // The terminal is gone, which is no wish to end it: as with docker it gets the signal and goes on, if it does not mind.
    if (signal === 'SIGHUP') deliver(signal)
    else if (forwarded++ >= mostForwarded) return false
    else {
      deliver(signal)
      if (process.stderr.isTTY) setTimeout(sayWayOut, heedsWithinMs, signal, forwarded).unref()
    }
    return true
  }
}

function passOn(deliver: Deliver, ...signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) process.on(signal, () => deliver(signal))
}

/** Nobody should have to guess why the keys do nothing. */
function sayWayOut(signal: string, forwarded: number): void {
  const left = mostForwarded + 1 - forwarded
  process.stderr.write(`The container got ${signal} and goes on. ${left === 1 ? 'Once' : `${left} times`} more ends it.\n`)
}

/** The number of the signal that has stopped the command, for its exit status. */
export function signalNumber(stop: AbortController): number {
  return numbers[stop.signal.reason as keyof typeof numbers] ?? 2
}

/** What is said of a command that a signal has stopped. */
export function cancelled(stop: AbortController): StaveError {
  return new StaveError('cancelled', `cancelled by ${String(stop.signal.reason)}`)
}
