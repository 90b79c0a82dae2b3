import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import type { LocalStore } from '#store/open.ts'
import type { Container } from './container.ts'
import { containerProcesses } from './top.ts'

/** What a container uses of the machine, at one moment. Rates come of two of them. */
export interface Usage {
  readonly atMs: number
  /** Of all its processes, since each was started. */
  readonly cpuSeconds: number
  readonly memoryBytes: number
  /** What it may use; all of the machine's, if nothing limits it. */
  readonly memoryLimitBytes: number
  readonly processes: number
  readonly received: number
  readonly sent: number
  readonly read: number
  readonly written: number
}

/**
 * Reads what a running container uses, from its processes: it need not have control groups.
 *
 * @throws StaveError `container-state` if it does not run, `unsupported` if it shares the processes of the machine
 */
export function readUsage(store: LocalStore, container: Container): Usage {
  const processes = containerProcesses(store, container)
  const disks = processes.map(({ pid }) => diskBytes(pid))
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
  return {
    atMs: performance.now(),
    cpuSeconds: sum(processes.map(({ cpuSeconds }) => cpuSeconds)),
    memoryBytes: sum(processes.map(({ residentBytes }) => residentBytes)),
    memoryLimitBytes: Math.min(container.spec.resources?.memoryBytes ?? Infinity, totalmem()),
    processes: processes.length,
    ...networkBytes(processes[0]?.pid),
    read: sum(disks.map(({ read }) => read)),
    written: sum(disks.map(({ written }) => written)),
  }
}

/** Of one processor, between two readings; of the time since its start, if there is no earlier one. */
export function cpuShare(now: Usage, before: Usage | undefined, startedAt: string | undefined): number {
  const seconds = before === undefined ? (Date.now() - Date.parse(startedAt ?? '')) / 1000 : (now.atMs - before.atMs) / 1000
  const used = now.cpuSeconds - (before?.cpuSeconds ?? 0)
  return seconds > 0 ? Math.max(0, used) / seconds : 0
}

/** @see proc_pid_io(5) */
function diskBytes(pid: number): { read: number; written: number } {
  const text = readOr(`/proc/${pid}/io`)
  return { read: Number(/^read_bytes: (\d+)/m.exec(text)?.[1] ?? 0), written: Number(/^write_bytes: (\d+)/m.exec(text)?.[1] ?? 0) }
}

/** Of all links of its network namespace but the loopback. @see proc_pid_net(5) */
function networkBytes(pid: number | undefined): { received: number; sent: number } {
  const rows = (pid === undefined ? '' : readOr(`/proc/${pid}/net/dev`))
    .split('\n')
    .map((row) => /^\s*([^:]+):\s*(.+)$/.exec(row))
    .filter((row) => row !== null && row[1] !== 'lo')
    .map((row) => row![2]!.trim().split(/\s+/).map(Number))
  const column = (index: number) => rows.reduce((sum, row) => sum + (row[index] ?? 0), 0)
  return { received: column(0), sent: column(8) }
}

/** Empty of a process that has ended, or is not ours to look at. */
function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
