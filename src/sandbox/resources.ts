import { StaveError } from '#error.ts'
import type { Resources } from '#runner/protocol.ts'
import { parseBytes } from '#text/size.ts'

/** What the flags of `run`, `create` and `build` say, each under its name without the dashes. */
export interface ResourceWords {
  readonly memory?: string | undefined
  readonly 'memory-swap'?: string | undefined
  readonly 'memory-reservation'?: string | undefined
  readonly cpus?: string | number | undefined
  readonly 'cpu-period'?: string | number | undefined
  readonly 'cpu-quota'?: string | number | undefined
  readonly 'cpu-shares'?: string | number | undefined
  readonly 'cpuset-cpus'?: string | undefined
  readonly 'cpuset-mems'?: string | undefined
  readonly 'pids-limit'?: string | number | undefined
}

export const resourceFlags = [
  'memory',
  'memory-swap',
  'memory-reservation',
  'cpus',
  'cpu-period',
  'cpu-quota',
  'cpu-shares',
  'cpuset-cpus',
  'cpuset-mems',
  'pids-limit',
] as const satisfies readonly (keyof ResourceWords)[]

/** What the kernel accepts as a period of the CPU's quota, in microseconds. */
const periodUs = { least: 1000, most: 1_000_000, usual: 100_000 }

/**
 * Reads the limits of a container or a step. Zero is no limit, in all of them (Docker's rule).
 *
 * @throws StaveError `usage` for what cannot be read, and for limits that exclude each other
 */
export function readResources(words: ResourceWords): Resources {
  const memoryBytes = words.memory === undefined ? 0 : parseBytes(words.memory, '--memory')
  const memorySwapBytes = swapOf(words, memoryBytes)
  const cpus = cpusOf(words)
  const cpuShares = count(words, 'cpu-shares')
  const pids = count(words, 'pids-limit')
  const memoryReservationBytes = reservationOf(words, memoryBytes)
  const cpusetCpus = numberList(words['cpuset-cpus'], '--cpuset-cpus')
  const cpusetMems = numberList(words['cpuset-mems'], '--cpuset-mems')
  return {
    ...(memoryBytes > 0 && { memoryBytes }),
    ...(memorySwapBytes !== 0 && { memorySwapBytes }),
    ...(cpus > 0 && { cpus }),
    ...(cpuShares > 0 && { cpuShares }),
    ...(cpusetCpus !== undefined && { cpusetCpus }),
    ...(cpusetMems !== undefined && { cpusetMems }),
    ...(memoryReservationBytes > 0 && { memoryReservationBytes }),
    ...(pids > 0 && { pids }),
  }
}

/** Memory and swap together; -1 is as much swap as there is. */
function swapOf({ memory, 'memory-swap': swap }: ResourceWords, memoryBytes: number): number {
  if (swap === undefined) return 0
  if (swap === '-1') return -1
  const bytes = parseBytes(swap, '--memory-swap')
  if (bytes > 0 && memoryBytes === 0)
    throw new StaveError('usage', '--memory-swap limits memory and swap together, and needs --memory beside it')
  if (bytes > 0 && bytes < memoryBytes) {
    throw new StaveError('usage', `--memory-swap ${swap} is below --memory ${memory}`, {
      hint: 'It is the sum of both: with the same value there is no swap.',
    })
  }
  return bytes
}

/** `--cpus`, or the same in the older words: so many microseconds of each period. */
function cpusOf(words: ResourceWords): number {
  const quota = number(words, 'cpu-quota') ?? 0
  const period = number(words, 'cpu-period') ?? 0
  if (period !== 0 && (period < periodUs.least || period > periodUs.most))
    throw new StaveError('usage', `--cpu-period takes ${periodUs.least} to ${periodUs.most}, not ${period}`)
  if (words.cpus === undefined) return quota <= 0 ? 0 : quota / (period === 0 ? periodUs.usual : period)
  if (quota !== 0) throw new StaveError('usage', '--cpus and --cpu-quota exclude each other')
  return count(words, 'cpus')
}

/** What it keeps when memory runs short on the machine. */
function reservationOf({ memory, 'memory-reservation': text }: ResourceWords, memoryBytes: number): number {
  const bytes = text === undefined || text === '-1' ? 0 : parseBytes(text, '--memory-reservation')
  if (memoryBytes === 0 || bytes <= memoryBytes) return bytes
  throw new StaveError('usage', `--memory-reservation ${text} is above --memory ${memory}`)
}

function numberList(text: string | undefined, flag: string): string | undefined {
  if (text === undefined || text === '') return undefined
  const ranges = text.split(',').map((range) => /^(\d+)(?:-(\d+))?$/.exec(range))
  if (ranges.every((range) => range !== null && Number(range[2] ?? range[1]) >= Number(range[1]))) return text
  throw new StaveError('usage', `${flag} takes a list such as 0-1,3, not ${JSON.stringify(text)}`)
}

/** -1 is docker's other word for no limit of processes. */
function count(words: ResourceWords, flag: 'cpus' | 'cpu-shares' | 'pids-limit'): number {
  const value = number(words, flag) ?? 0
  if (value >= 0 || (flag === 'pids-limit' && value === -1)) return Math.max(0, value)
  throw new StaveError('usage', `--${flag} takes a number above zero, not ${value}`)
}

function number(words: ResourceWords, flag: 'cpus' | 'cpu-period' | 'cpu-quota' | 'cpu-shares' | 'pids-limit'): number | undefined {
  const word = words[flag]
  if (word === undefined) return undefined
  const value = Number(word)
  if (String(word).trim() !== '' && Number.isFinite(value)) return value
  throw new StaveError('usage', `--${flag} takes a number, not ${JSON.stringify(word)}`)
}
