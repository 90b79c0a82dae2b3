import { findContainer } from '#container/container.ts'
import { readLog, type LogOptions } from '#container/log.ts'
import { StaveError, hasCode } from '#error.ts'
import { readDuration } from '#text/duration.ts'
import type { Invocation, Values } from '../command.ts'
import { openSession } from '../session.ts'
import type { logsFlags } from './commands.ts'

/** Shows what a container wrote, stream by stream, or the logs of a build. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof logsFlags>): Promise<void> {
  await using session = await openSession(settings)
  const { store } = session
  let container
  try {
    container = findContainer(store, args[0]!)
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    const { readBuildLogs } = await import('#builder/record/record.ts')
    const logs = await readBuildLogs(store, args[0]!)
    if (logs === undefined) throw error
    for await (const chunk of logs) report.write(chunk)
    return
  }
  if (container.log === false)
    throw new StaveError('unsupported', `cannot show the logs of ${container.name}: it was made with --log-driver none`)
  const options = { follow: flags.follow ?? false, ...logTimes(flags) }
  const unfinished = { stdout: false, stderr: false }
  for await (const { stream, time, text } of readLog(cx, store, container, options)) {
    const out = stream === 'stderr' ? process.stderr : process.stdout
    // A long line comes in pieces, of which the first alone has a time.
    const start = flags.timestamps && !unfinished[stream] ? `${time} ` : ''
    unfinished[stream] = !text.endsWith('\n')
    if (!out.write(`${start}${text}`)) await new Promise((ready) => out.once('drain', ready))
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
