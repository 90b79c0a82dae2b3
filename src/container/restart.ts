import { StaveError } from '#error.ts'

/** When a container that has ended is started again. Absent: never. */
export interface RestartPolicy {
  readonly name: 'on-failure' | 'always' | 'unless-stopped'
  /** Of `on-failure`: so many times in a row. Absent: any number of times. */
  readonly maximum?: number
}

/** What decides whether it is started again. */
export interface Restartable {
  readonly restart?: RestartPolicy
  /** How often it was started again since a person started it. */
  readonly restarts?: number
  /** A person has stopped it. */
  readonly stopped?: boolean
}

/** How long to wait before the first time, and at most; between, each wait is twice the one before (Docker's rule). */
const wait = { firstMs: 100, mostMs: 60_000 }
/** One that ran this long was well: the next wait is the first again. */
const longLifeMs = 10_000

/** Reads `--restart`. @returns undefined for `no` @throws StaveError `usage` */
export function parseRestart(text: string): RestartPolicy | undefined {
  const [name = '', count] = text.split(/:(.*)/s)
  if (count !== undefined && name !== 'on-failure') throw misread(text, 'A number of times goes with on-failure alone.')
  switch (name) {
    case '':
    case 'no':
    case 'never':
      return undefined
    case 'always':
    case 'unless-stopped':
      return { name }
    case 'on-failure':
      if (count === undefined) return { name }
      if (!/^\d{1,6}$/.test(count)) throw misread(text, 'Write on-failure:5 for at most five times.')
      return Number(count) === 0 ? { name } : { name, maximum: Number(count) }
    default:
      throw misread(text, 'There are no, on-failure[:N], always and unless-stopped.')
  }
}

function misread(text: string, hint: string): StaveError {
  return new StaveError('usage', `--restart ${text} is not understood`, { hint })
}

/** Is it to be started again after it ended by itself with this status? */
export function wantsRestart({ restart, restarts = 0, stopped }: Restartable, exitCode: number): boolean {
  if (restart === undefined || stopped === true) return false
  if (restart.name !== 'on-failure') return true
  return exitCode !== 0 && restarts < (restart.maximum ?? Infinity)
}

/** Is it to be up after this machine has started? One of `always` also where a person has stopped it (Docker's rule). */
export function wantsStart(container: Restartable, exitCode: number): boolean {
  return container.restart?.name === 'always' || wantsRestart(container, exitCode)
}

/**
 * How long the container will wait if it ends soon after this start.
 *
 * @param streak How many starts before this one were followed by an early end.
 */
export function restartDelayMs(streak: number): number {
  return Math.min(wait.firstMs * 2 ** Math.min(streak, 20), wait.mostMs)
}

/** Whether a life was so short that the wait grows. */
export function wasShort(startedAt: string | undefined, finishedAt: string | undefined): boolean {
  if (startedAt === undefined || finishedAt === undefined) return true
  return Date.parse(finishedAt) - Date.parse(startedAt) < longLifeMs
}
