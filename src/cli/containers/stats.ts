import { setTimeout as delay } from 'node:timers/promises'
import { listContainers, refresh, type Container } from '#container/container.ts'
import { cpuShare, readUsage, type Usage } from '#container/stats.ts'
import { hasCode, StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { printList, type Column } from '../output/table.ts'
import { openSession } from '../session.ts'
import type { statsFlags } from './commands.ts'
import { chooseContainers } from './each.ts'

interface Row {
  readonly container: Container
  /** Absent: it does not run. */
  readonly usage?: Usage
  readonly share: number
}

const clearScreen = '\u001B[H\u001B[2J'

/** Shows what containers use of the machine, again and again, or once. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof statsFlags>): Promise<void> {
  const intervalMs = intervalOf(flags.interval) * 1000
  await using session = await openSession(settings)
  const { store } = session
  const isNamed = args.length > 0 || flags.latest
  const named = isNamed ? chooseContainers(store, args, { latest: flags.latest }).map(({ find }) => find()) : undefined
  const stopped = named?.find(({ status }) => status.state !== 'running' && status.state !== 'paused')
  if (stopped !== undefined && flags['no-stream'])
    throw new StaveError('container-state', `cannot show what ${stopped.name} uses: it is not running`)

  const format = { ...flags, noheading: false }
  let before = new Map<string, Usage>()
  for (;;) {
    const rows = chosen(store, named, flags.all ?? false).map((container) => rowOf(store, container, before.get(container.id)))
    if (!flags['no-stream'] && !flags['no-reset'] && process.stdout.isTTY) report.write(clearScreen)
    printList(report, rows, columns(flags['no-trunc'] ?? false), (row) => dataOf(row, flags['no-trunc'] ?? false), format)
    if (flags['no-stream']) return
    before = new Map(rows.flatMap(({ container, usage }) => (usage === undefined ? [] : [[container.id, usage]])))
    await delay(intervalMs, undefined, { signal: cx.signal })
  }
}

function intervalOf(seconds = 1): number {
  if (seconds > 0) return seconds
  throw new StaveError('usage', `--interval takes a number of seconds above zero, not ${seconds}`)
}

/** Those that were named, as they are now; else all that run, or all. */
function chosen(store: LocalStore, named: readonly Container[] | undefined, all: boolean): readonly Container[] {
  if (named !== undefined) return named.map((container) => refresh(store, container))
  return listContainers(store).filter(({ status }) => all || status.state === 'running' || status.state === 'paused')
}

function rowOf(store: LocalStore, container: Container, before: Usage | undefined): Row {
  try {
    const usage = readUsage(store, container)
    return { container, usage, share: cpuShare(usage, before, container.status.startedAt) }
  } catch (error) {
    // One that does not run uses nothing; that of one that shares all processes is not known.
    if (hasCode(error, 'container-state', 'unsupported')) return { container, share: 0 }
    throw error
  }
}

const percent = (share: number) => `${(share * 100).toFixed(2)}%`
const pair = (one: number, other: number) => `${formatBytes(one)} / ${formatBytes(other)}`
const known = (usage: Usage | undefined, text: (usage: Usage) => string) => (usage === undefined ? '--' : text(usage))

const texts: Readonly<Record<string, (row: Row) => string>> = {
  CPUPerc: ({ usage, share }) => known(usage, () => percent(share)),
  MemUsage: ({ usage }) => known(usage, ({ memoryBytes, memoryLimitBytes }) => pair(memoryBytes, memoryLimitBytes)),
  MemPerc: ({ usage }) => known(usage, ({ memoryBytes, memoryLimitBytes }) => percent(memoryBytes / memoryLimitBytes)),
  NetIO: ({ usage }) => known(usage, ({ received, sent }) => pair(received, sent)),
  BlockIO: ({ usage }) => known(usage, ({ read, written }) => pair(read, written)),
  PIDs: ({ usage }) => known(usage, ({ processes }) => String(processes)),
}

const idOf = ({ container }: Row, whole: boolean) => (whole ? container.id : container.id.slice(0, 12))

function columns(whole: boolean): readonly Column<Row>[] {
  const headings = {
    CPUPerc: 'CPU %',
    MemUsage: 'MEM USAGE / LIMIT',
    MemPerc: 'MEM %',
    NetIO: 'NET I/O',
    BlockIO: 'BLOCK I/O',
    PIDs: 'PIDS',
  }
  return [
    { heading: 'CONTAINER ID', value: (row) => idOf(row, whole) },
    { heading: 'NAME', value: ({ container }) => container.name },
    ...Object.entries(headings).map(([key, heading]) => ({ heading, value: texts[key]! })),
  ]
}

/** As docker's templates have it, and podman's. */
function dataOf(row: Row, whole: boolean): object {
  const shown = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, text(row)]))
  const id = idOf(row, whole)
  const { usage, container } = row
  return { ...shown, ID: id, Container: id, Name: container.name, PIDS: shown['PIDs'], MemUsageBytes: usage?.memoryBytes ?? 0 }
}
