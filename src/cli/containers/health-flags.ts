import type { HealthOptions } from '#container/health.ts'
import { parseHealthCommand } from '#container/health.ts'
import { StaveError } from '#error.ts'
import { parseDuration } from '#text/duration.ts'
import type { Flags, Values } from '../command.ts'

/** Of `run` and `create`: how it is found out whether the container does its work. */
export const healthFlags = {
  'health-cmd': {
    kind: 'string',
    value: 'COMMAND',
    doc: "Check its health with this, in place of the image's HEALTHCHECK; none: not at all",
  },
  'health-interval': { kind: 'string', value: 'TIME', doc: 'Between two checks (default 30s)' },
  'health-timeout': { kind: 'string', value: 'TIME', doc: 'How long a check may take (default 30s)' },
  'health-retries': { kind: 'number', value: 'N', doc: 'So many failures in a row make it unhealthy (default 3)' },
  'health-start-period': { kind: 'string', value: 'TIME', doc: 'Failures in this time after the start do not count (default 0s)' },
  'health-start-interval': { kind: 'string', value: 'TIME', doc: 'Between two checks in that time (default 5s)' },
  'no-healthcheck': { kind: 'boolean', doc: 'Check nothing, whatever the image says' },
} as const satisfies Flags

/** The least that Docker accepts, in nanoseconds. */
const leastDuration = 1e6

/** What the flags about health say. @throws StaveError `usage` */
export function healthOptions(flags: Values<typeof healthFlags>): HealthOptions {
  const command = flags['health-cmd']
  const retries = flags['health-retries']
  if (flags['no-healthcheck'] === true) {
    if (Object.entries(flags).some(([name, value]) => name.startsWith('health-') && value !== undefined))
      throw new StaveError('usage', '--no-healthcheck excludes the other flags about health')
    return { Test: ['NONE'] }
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0))
    throw new StaveError('usage', `--health-retries takes a number of checks, not ${retries}`)
  return {
    ...(command !== undefined && command !== '' && { Test: parseHealthCommand(command) }),
    ...durationOf(flags, 'health-interval', 'Interval'),
    ...durationOf(flags, 'health-timeout', 'Timeout'),
    ...durationOf(flags, 'health-start-period', 'StartPeriod'),
    ...durationOf(flags, 'health-start-interval', 'StartInterval'),
    ...(retries !== undefined && { Retries: retries }),
  }
}

function durationOf(
  flags: Values<typeof healthFlags>,
  flag: 'health-interval' | 'health-timeout' | 'health-start-period' | 'health-start-interval',
  key: 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval',
): HealthOptions {
  const text = flags[flag]
  if (text === undefined) return {}
  const nanoseconds = parseDuration(text)
  if (nanoseconds !== 0 && nanoseconds < leastDuration)
    throw new StaveError('usage', `--${flag} takes 1ms or more, not ${text}`, { hint: 'Zero stands for the default.' })
  return { [key]: nanoseconds }
}
