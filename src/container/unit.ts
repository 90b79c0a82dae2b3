import { StaveError } from '#error.ts'

/** A limit of a process: -1 is none. */
export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

export interface Device {
  /** On the host. */
  readonly path: string
  readonly target: string
  /** Of `r`, `w`, `m`. */
  readonly access: string
}

const byteUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 }

/** Reads `512m`, `1.5g`, `64KiB`, `1024`: units are binary, as in Docker. */
export function parseBytes(text: string, flag = 'size'): number {
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text.trim())
  const unit = byteUnits[match?.[2]?.toLowerCase() ?? '?']
  if (match === null || unit === undefined) {
    throw usage(`cannot read ${flag} ${JSON.stringify(text)}: expected a number and a unit such as k, m or g`)
  }
  const bytes = Math.trunc(Number(match[1]) * unit)
  if (!Number.isSafeInteger(bytes)) throw usage(`cannot use ${flag} ${JSON.stringify(text)}: it is too large`)
  return bytes
}

const ulimitNames = new Set('core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as'.split(' '))

/** Reads `nofile=1024:2048`; with one number it is both limits, -1 is none. */
export function parseUlimit(text: string): Ulimit {
  const match = /^(\w+)=(-?\d+|unlimited)(?::(-?\d+|unlimited))?$/.exec(text)
  const name = match?.[1]?.toLowerCase()
  if (match === null || name === undefined) throw usage(`cannot read ulimit ${JSON.stringify(text)}: expected NAME=SOFT[:HARD]`)
  if (!ulimitNames.has(name)) throw usage(`cannot use ulimit ${JSON.stringify(name)}: it is none of ${[...ulimitNames].join(', ')}`)
  const number = (value: string) => (value === 'unlimited' ? -1 : Number(value))
  const soft = number(match[2]!)
  const hard = match[3] === undefined ? soft : number(match[3])
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw usage(`cannot use ulimit ${JSON.stringify(text)}: the soft limit is above the hard one`)
  return { name, soft, hard }
}

/** Reads `/dev/x`, `/dev/x:/dev/y`, `/dev/x:/dev/y:rw`, `/dev/x:r`. */
export function parseDevice(text: string): Device {
  const parts = text.split(':')
  const path = parts[0] ?? ''
  const last = parts.length > 1 ? parts.at(-1)! : ''
  const hasAccess = parts.length === 3 || (parts.length === 2 && /^[rwm]+$/.test(last))
  const access = hasAccess ? last : 'rwm'
  const target = parts.length === 3 || (parts.length === 2 && !hasAccess) ? parts[1]! : path
  if (parts.length > 3 || !path.startsWith('/') || !/^\/dev\/./.test(target) || !/^[rwm]+$/.test(access)) {
    throw usage(`cannot read device ${JSON.stringify(text)}: expected /dev/HOST[:/dev/CONTAINER][:rwm]`)
  }
  return { path, target, access }
}

/** signal(7), x86 and ARM: the position is the number. */
const signalNames = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT ' +
  'CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
).split(' ')
const signalAliases: Readonly<Record<string, string>> = { IOT: 'ABRT', POLL: 'IO', CLD: 'CHLD' }
const rtMin = 34
const rtMax = 64

/** Reads `SIGTERM`, `term`, `15`, `RTMIN+3`, `RTMAX-1`. The numbers are Linux's. */
export function parseSignal(text: string): number {
  const name = text.trim().toUpperCase().replace(/^SIG/, '')
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name)
  let number = /^\d+$/.test(name) ? Number(name) : signalNames.indexOf(signalAliases[name] ?? name) + 1
  if (realTime !== null) number = (realTime[1] === 'MIN' ? rtMin : rtMax) + Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`)
  if (number < 1 || number > rtMax) throw usage(`cannot use signal ${JSON.stringify(text)}: there is no such signal`)
  return number
}

function usage(message: string): StaveError {
  return new StaveError('usage', message)
}
