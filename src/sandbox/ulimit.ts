import { StaveError } from '#error.ts'

/** A limit of a process: -1 is none. */
export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
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

function usage(message: string): StaveError {
  return new StaveError('usage', message)
}
