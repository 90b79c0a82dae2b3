import { StaveError } from '#error.ts'
import { didYouMean } from './suggest.ts'

/** signal(7), x86 and ARM: the position is the number. */
const signalNames = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT ' +
  'CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
).split(' ')
const signalAliases: Readonly<Record<string, string>> = { IOT: 'ABRT', POLL: 'IO', CLD: 'CHLD' }
/** The first that programs may use; 32 and 33 are the C library's. */
const rtMin = 34
const rtMax = 64

/**
 * Reads `SIGTERM`, `term`, `15`, `RTMIN+3`, `RTMAX-1`. The numbers are Linux's. The native program reads them in the same
 * way: fixtures/signals.json has the cases of both.
 *
 * @throws StaveError `usage`
 */
export function parseSignal(text: string): number {
  const typed = text.trim().toUpperCase()
  const number = /^\d+$/.test(typed) ? Number(typed) : namedSignal(typed.replace(/^SIG/, ''))
  if (number === undefined || number < 1 || number > rtMax) {
    const hint = meant(text)
    throw new StaveError('usage', `invalid signal ${JSON.stringify(text)}: there is no such signal`, hint === undefined ? {} : { hint })
  }
  return number
}

function meant(text: string): string | undefined {
  if (/^[-+]?\d+$/.test(text)) return `A signal is a number from 1 to ${rtMax}, or a name such as SIGTERM.`
  const names = [...signalNames, ...Object.keys(signalAliases)]
  return didYouMean(text, /^sig/i.test(text) ? names.map((name) => `SIG${name}`) : names, true)
}

function namedSignal(name: string): number | undefined {
  const realTime = /^RT(?:MIN(?:\+(\d+))?|MAX(?:-(\d+))?)$/.exec(name)
  if (realTime === null) return signalNames.indexOf(signalAliases[name] ?? name) + 1
  const number = name.startsWith('RTMIN') ? rtMin + Number(realTime[1] ?? 0) : rtMax - Number(realTime[2] ?? 0)
  return number >= rtMin ? number : undefined
}
