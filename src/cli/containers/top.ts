import { findContainer } from '#container/container.ts'
import { containerProcesses, type ContainerProcess } from '#container/top.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { printList, type Column } from '../output/table.ts'
import { openSession } from '../session.ts'
import type { topFlags } from './commands.ts'

/** Columns by podman's words for them, and by ps(1)'s headings. */
const columns: Readonly<Record<string, Column<ContainerProcess>>> = {
  uid: { heading: 'UID', value: ({ uid }) => String(uid) },
  user: { heading: 'UID', value: ({ uid }) => (uid === 0 ? 'root' : String(uid)) },
  pid: { heading: 'PID', value: ({ pid }) => String(pid) },
  hpid: { heading: 'HPID', value: ({ pid }) => String(pid) },
  nspid: { heading: 'NSPID', value: ({ innerPid }) => String(innerPid) },
  ppid: { heading: 'PPID', value: ({ parent }) => String(parent) },
  c: { heading: 'C', value: (one) => String(Math.round(share(one) * 100)) },
  pcpu: { heading: '%CPU', value: (one) => (share(one) * 100).toFixed(1) },
  state: { heading: 'STATE', value: ({ state }) => state },
  stime: { heading: 'STIME', value: ({ startedAt }) => clock(startedAt) },
  etime: { heading: 'ELAPSED', value: ({ startedAt }) => duration((Date.now() - startedAt.getTime()) / 1000) },
  tty: { heading: 'TTY', value: ({ terminal }) => terminal },
  time: { heading: 'TIME', value: ({ cpuSeconds }) => duration(cpuSeconds) },
  rss: { heading: 'RSS', value: ({ residentBytes }) => String(Math.round(residentBytes / 1024)) },
  comm: { heading: 'COMMAND', value: ({ command }) => command },
  args: { heading: 'CMD', value: ({ args }) => args },
}
const aliases: Readonly<Record<string, string>> = { '%C': 'pcpu', cmd: 'args', command: 'args' }
const usual = ['user', 'pid', 'ppid', 'c', 'stime', 'tty', 'time', 'args']

/** Lists the processes of a container. */
export async function run({ flags, args, settings, report }: Invocation<typeof topFlags>): Promise<void> {
  const [name = '', ...words] = args
  const typed = words.flatMap((word) => word.split(/[\s,]+/)).filter((word) => word !== '' && !['-o', '-eo'].includes(word))
  // ps(1)'s usual ways to ask for all; which processes they are is settled here.
  const wanted = typed.filter((word) => !/^-?(a?ux|ef|e|f)$/.test(word)).map((word) => aliases[word] ?? word)
  const unknown = wanted.find((word) => !Object.hasOwn(columns, word))
  if (unknown !== undefined)
    throw new StaveError('usage', `stave top: ${unknown} is no column`, { hint: `There are ${Object.keys(columns).join(', ')}.` })
  await using session = await openSession(settings)
  const processes = containerProcesses(session.store, findContainer(session.store, name))
  const chosen = (wanted.length > 0 ? wanted : usual).map((word) => columns[word]!)
  printList(
    report,
    processes,
    chosen,
    (one) => ({ PID: one.pid, PPID: one.parent, UID: one.uid, State: one.state, Command: one.command, Args: one.args }),
    flags,
  )
}

/** Of one processor, since it was started. */
function share({ cpuSeconds, startedAt }: ContainerProcess): number {
  const elapsed = (Date.now() - startedAt.getTime()) / 1000
  return elapsed <= 0 ? 0 : Math.min(1, cpuSeconds / elapsed)
}

function clock(when: Date): string {
  return `${String(when.getHours()).padStart(2, '0')}:${String(when.getMinutes()).padStart(2, '0')}`
}

/** `HH:MM:SS`, as ps(1) writes times. */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  return [whole / 3600, (whole / 60) % 60, whole % 60].map((part) => String(Math.floor(part)).padStart(2, '0')).join(':')
}
