import { findContainer, type Container } from '#container/container.ts'
import { readLog, type LogOptions } from '#container/log.ts'
import type { Context } from '#context.ts'
import { StaveError, hasCode } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { readDuration } from '#text/duration.ts'
import type { Invocation, Values } from '../command.ts'
import { openSession } from '../session.ts'
import { chooseContainers } from './each.ts'
import type { logsFlags } from './commands.ts'

/** Shows what containers wrote, stream by stream, or the logs of a build. */
export async function run(invocation: Invocation<typeof logsFlags>): Promise<void> {
  const { cx, flags, args, settings } = invocation
  await using session = await openSession(settings)
  const { store } = session
  const [only] = args
  if (args.length === 1 && only !== undefined && (await showBuild(invocation, store, only))) return
  const containers = chooseContainers(store, args, { latest: flags.latest }).map(({ find }) => find())
  const silent = containers.find(({ log }) => log === false)
  if (silent !== undefined)
    throw new StaveError('unsupported', `cannot show the logs of ${silent.name}: it was made with --log-driver none`)

  const options = { follow: flags.follow ?? false, ...logTimes(flags) }
  const shown = containers.map((container) => async () => {
    const name = flags.names ? container.name : container.id.slice(0, 12)
    const prefix = containers.length > 1 ? `${name} ` : ''
    await showLog(cx, store, container, options, { prefix, timestamps: flags.timestamps ?? false })
  })
  if (flags.follow) await Promise.all(shown.map((show) => show()))
  else for (const show of shown) await show()
}

interface LineForm {
  readonly prefix: string
  readonly timestamps: boolean
}

async function showLog(cx: Context, store: LocalStore, container: Container, options: LogOptions, form: LineForm): Promise<void> {
  const unfinished = { stdout: false, stderr: false }
  for await (const { stream, time, text, bytes } of readLog(cx, store, container, options)) {
    const out = stream === 'stderr' ? process.stderr : process.stdout
    // A long line comes in pieces, of which the first alone has a time.
    const start = unfinished[stream] ? '' : `${form.prefix}${form.timestamps ? `${time} ` : ''}`
    unfinished[stream] = !text.endsWith('\n')
    const whole = bytes === undefined ? `${start}${text}` : Buffer.concat([Buffer.from(start), bytes])
    if (!out.write(whole)) await new Promise((ready) => out.once('drain', ready))
  }
}

/** Shows the logs of a build, if there is no container of this name. @returns whether it did */
async function showBuild({ report }: Invocation<typeof logsFlags>, store: LocalStore, name: string): Promise<boolean> {
  try {
    findContainer(store, name)
    return false
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    const { readBuildLogs } = await import('#builder/record/record.ts')
    const logs = await readBuildLogs(store, name)
    if (logs === undefined) throw error
    for await (const chunk of logs) report.write(chunk)
    return true
  }
}

/** Which part of a log `--tail`, `--since` and `--until` mean. @throws StaveError `usage` */
export function logTimes(flags: Pick<Values<typeof logsFlags>, 'tail' | 'since' | 'until'>): Pick<LogOptions, 'tail' | 'since' | 'until'> {
  const tail = tailOf(flags.tail)
  return {
    ...(tail !== undefined && { tail }),
    ...(flags.since !== undefined && { since: timeOf(flags.since) }),
    ...(flags.until !== undefined && { until: timeOf(flags.until) }),
  }
}

function tailOf(text: string | undefined): number | undefined {
  if (text === undefined || text === 'all' || text === '-1') return undefined
  if (!/^\d+$/.test(text)) throw new StaveError('usage', `--tail takes a number of lines or all, not ${JSON.stringify(text)}`)
  return Number(text)
}

/** RFC 3339, seconds since 1970, or a duration ago. */
function timeOf(text: string): Date {
  // A number alone is seconds since 1970, 0 too.
  const ago = /[a-z]/.test(text) ? readDuration(text) : undefined
  if (ago !== undefined) return new Date(Date.now() - ago / 1e6)
  const time = /^\d+(\.\d+)?$/.test(text) ? new Date(Number(text) * 1000) : new Date(text)
  if (Number.isNaN(time.getTime())) {
    throw new StaveError('usage', `${JSON.stringify(text)} is not a time`, {
      hint: 'Write 2026-01-31T12:00:00Z, seconds since 1970, or 10m.',
    })
  }
  return time
}
