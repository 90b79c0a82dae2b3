import { readFileSync, rmSync } from 'node:fs'
import { StaveError } from '#error.ts'
import type { Healthcheck } from '#oci/config.ts'
import type { HealthState } from '#runner/protocol.ts'
import { layout, pathOf } from '#store/layout.ts'
import type { LocalStore } from '#store/open.ts'
import { replaceFile } from './file.ts'

/** How it is found out whether a container does its work. */
export interface HealthCheck {
  /** As the image has it: `CMD` and words, or `CMD-SHELL` and a line for the shell. */
  readonly test: readonly string[]
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Failures in this time after the start do not count. */
  readonly startPeriodMs: number
  /** Between checks in that time. */
  readonly startIntervalMs: number
  /** So many failures in a row make it unhealthy. */
  readonly retries: number
}

/** What the `--health-*` flags say over what the image says. Durations in nanoseconds, as in the image. */
export type HealthOptions = Partial<Healthcheck>

const second = 1e9
/** Docker's. */
const defaults = { Interval: 30 * second, Timeout: 30 * second, StartPeriod: 0, StartInterval: 5 * second, Retries: 3 } as const
/** As many results as are kept, and as much of what each wrote. */
const mostResults = 5
const mostOutputBytes = 4096

/**
 * What is to be checked. A zero of the image is no value (image-spec, Docker's extension).
 *
 * @returns undefined if nothing is
 * @throws StaveError `usage` for settings of a check that there is not
 */
export function healthCheck(image: Healthcheck | undefined, options: HealthOptions): HealthCheck | undefined {
  const { Test: test = image?.Test ?? [] } = options
  if (test[0] === 'NONE') return undefined
  if (test.length < 2) {
    if (Object.keys(options).length === 0 || test.length > 0) return undefined
    throw new StaveError('usage', 'the --health flags set how a health check is made, and there is none to make', {
      hint: 'Name the command with --health-cmd: the image has none.',
    })
  }
  const milliseconds = (key: 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval') =>
    Math.round((options[key] || image?.[key] || defaults[key]) / 1e6)
  return {
    test,
    intervalMs: Math.max(1, milliseconds('Interval')),
    timeoutMs: Math.max(1, milliseconds('Timeout')),
    startPeriodMs: milliseconds('StartPeriod'),
    startIntervalMs: Math.max(1, milliseconds('StartInterval')),
    retries: options.Retries || image?.Retries || defaults.Retries,
  }
}

/** Reads `--health-cmd`: a line for the shell, a JSON array of words, or `none`. */
export function parseHealthCommand(text: string): readonly string[] {
  if (text === 'none') return ['NONE']
  if (text.startsWith('[')) {
    try {
      const words = JSON.parse(text) as unknown
      if (Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string'))
        return ['CMD', 'CMD-SHELL', 'NONE'].includes(words[0]!) ? words : ['CMD', ...words]
    } catch {
      // a line that begins with a bracket: [ -e /file ]
    }
  }
  return ['CMD-SHELL', text]
}

/** The words that are executed. */
export function healthCommand({ test: [kind, ...words] }: HealthCheck, shell: readonly string[] = ['/bin/sh', '-c']): readonly string[] {
  return kind === 'CMD-SHELL' ? [...shell, words.join(' ')] : words
}

/** What the checks have said since the container was started. @returns undefined if none are made */
export function readHealth(store: Pick<LocalStore, 'root'>, id: string): HealthState | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(store, id), 'utf8')) as HealthState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** At a start: nothing is known yet. */
export function beginHealth(store: Pick<LocalStore, 'root'>, id: string, check: HealthCheck | undefined): void {
  if (check === undefined) rmSync(fileOf(store, id), { force: true })
  else replaceFile(fileOf(store, id), JSON.stringify({ Status: 'starting', FailingStreak: 0, Log: [] } satisfies HealthState))
}

/** Writes down a result that a person has asked for. @returns what it makes of the container */
export function noteHealth(
  store: Pick<LocalStore, 'root'>,
  id: string,
  check: HealthCheck,
  result: HealthState['Log'][number],
): HealthState {
  const { Status, FailingStreak, Log } = readHealth(store, id) ?? { Status: 'starting', FailingStreak: 0, Log: [] }
  const streak = result.ExitCode === 0 ? 0 : FailingStreak + 1
  const status = result.ExitCode === 0 ? 'healthy' : streak >= check.retries ? 'unhealthy' : Status
  const log = [...Log, { ...result, Output: result.Output.slice(0, mostOutputBytes) }].slice(-mostResults)
  const state: HealthState = { Status: status, FailingStreak: streak, Log: log }
  replaceFile(fileOf(store, id), JSON.stringify(state))
  return state
}

function fileOf(store: Pick<LocalStore, 'root'>, id: string): string {
  return pathOf(store, layout.containerHealth(id))
}
