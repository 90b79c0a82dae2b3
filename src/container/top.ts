import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import { readStatus } from './status.ts'

/** One process of a container, as the machine sees it. */
export interface ContainerProcess {
  readonly pid: number
  readonly parent: number
  /** Its number inside. */
  readonly innerPid: number
  readonly uid: number
  /** One letter, as in ps(1). */
  readonly state: string
  readonly command: string
  /** With arguments; of a kernel's or ended one, its name in brackets. */
  readonly args: string
  readonly startedAt: Date
  readonly cpuSeconds: number
  readonly residentBytes: number
  /** `pts/0`, or `?`. */
  readonly terminal: string
}

/** The kernel tells times to programs in hundredths of a second, whatever its own clock is (`USER_HZ`). */
const ticksPerSecond = 100
const pageBytes = 4096

/**
 * The processes of a container that runs: those in its process namespace, whoever has started them.
 *
 * @throws StaveError `container-state` if it does not run, `unsupported` if it shares the processes of the machine
 */
export function containerProcesses(store: LocalStore, container: ContainerRecord): readonly ContainerProcess[] {
  const { state, pid } = readStatus(store, container)
  if (pid === undefined || (state !== 'running' && state !== 'paused'))
    throw new StaveError('container-state', `cannot list the processes of the container ${container.name}: it is not running`)
  const namespace = namespaceOf(pid)
  if (namespace === undefined || namespace === namespaceOf('self')) {
    throw new StaveError(
      'unsupported',
      `cannot tell the processes of the container ${container.name} apart: it shares those of the machine`,
    )
  }
  const bootMs = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? 0) * 1000
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === namespace)
    .flatMap((name) => processOf(Number(name), bootMs) ?? [])
    .toSorted((one, other) => one.pid - other.pid)
}

function namespaceOf(process: number | string): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/pid`)
  } catch {
    return undefined // It has ended, or is not ours to look at.
  }
}

function processOf(pid: number, bootMs: number): ContainerProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').replaceAll('\0', ' ')
    // The name, in parentheses, may hold anything; what is counted from the last one are the fields from the third on.
    const command = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const field = (number: number) => Number(fields[number - 3])
    return {
      pid,
      parent: field(4),
      innerPid: Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1] ?? pid),
      uid: Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0),
      state: fields[0] ?? '?',
      command,
      args: args === '' ? `[${command}]` : args,
      startedAt: new Date(bootMs + (field(22) / ticksPerSecond) * 1000),
      cpuSeconds: (field(14) + field(15)) / ticksPerSecond,
      residentBytes: field(24) * pageBytes,
      terminal: terminalName(field(7)),
    }
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** The numbers of pseudo-terminals begin at 136:0 (devices.txt of the kernel). */
function terminalName(device: number): string {
  const [major, minor] = [(device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)]
  return major >= 136 && major <= 143 ? `pts/${minor + (major - 136) * 256}` : '?'
}
