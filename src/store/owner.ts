import { readFileSync } from 'node:fs'

/** A process: its id alone may be another's tomorrow, so its start time (field 22 of /proc/pid/stat) goes with it. */
export interface Owner {
  readonly pid: number
  readonly start: number
}

let own: Owner | undefined
let boot: string | undefined

/** This process. */
export function self(): Owner {
  own ??= { pid: process.pid, start: startTime(process.pid) ?? 0 }
  return own
}

/** Does this very process still run? A zombie does not. */
export function isAlive(owner: Owner): boolean {
  return startTime(owner.pid) === owner.start
}

/** When a process was started, in clock ticks since boot; undefined if there is none. */
export function startTime(pid: number): number | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The second field is the program's name in parentheses and may hold spaces and parentheses: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
}

/** Identifies this boot of the machine: what an earlier boot left may have lost what was not yet on the disk. */
export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return boot
}

/** The first part of the names of temporary files and directories; {@link ownerOf} reads it back. */
export function ownerPrefix(): string {
  const { pid, start } = self()
  return `${pid}-${start}-`
}

export function ownerOf(name: string): Owner | undefined {
  const match = /^(\d+)-(\d+)-/.exec(name)
  return match === null ? undefined : { pid: Number(match[1]), start: Number(match[2]) }
}
