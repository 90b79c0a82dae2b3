import { StaveError } from '#error.ts'

const unitNanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3, // U+00B5
  μs: 1e3, // U+03BC
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}

/**
 * Reads a duration such as `1h30m`, `1.5s` or `-20ms`.
 *
 * @returns nanoseconds
 * @throws StaveError `usage`
 * @see Go, time.ParseDuration
 */
export function parseDuration(text: string): number {
  const nanoseconds = readDuration(text)
  if (nanoseconds !== undefined) return nanoseconds
  throw new StaveError('usage', `invalid duration ${JSON.stringify(text)}`, { hint: 'Write a number and a unit, such as 30s or 1m30s.' })
}

/** As {@link parseDuration}, for what may be something else: undefined if it is no duration. */
export function readDuration(text: string): number | undefined {
  const [, sign, rest = ''] = /^([-+]?)(.*)$/s.exec(text) ?? []
  if (rest === '0') return 0
  let total = 0
  let at = 0
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y
  while (at < rest.length) {
    part.lastIndex = at
    const match = part.exec(rest)
    if (match === null) return undefined
    total += Number(match[1]) * unitNanoseconds[match[2]!]!
    at = part.lastIndex
  }
  if (rest === '' || total > 2 ** 63) return undefined
  return (sign === '-' ? -1 : 1) * Math.round(total)
}
