import { fault } from './fault.ts'

/** The small grammars of Go's standard library that Dockerfiles are written in. */

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
 * A duration such as `1h30m`, `1.5s` or `-20ms`, in nanoseconds.
 *
 * @see Go, time.ParseDuration
 */
export function parseDuration(text: string): number {
  const wrong = (): Error =>
    fault(`invalid duration ${JSON.stringify(text)}`, undefined, 'Write a number and a unit, such as 30s or 1m30s.')
  const signed = /^([-+]?)(.*)$/s.exec(text)
  const sign = signed?.[1] === '-' ? -1 : 1
  const rest = signed?.[2] ?? ''
  if (rest === '0') return 0
  let total = 0
  let at = 0
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y
  while (at < rest.length) {
    part.lastIndex = at
    const match = part.exec(rest)
    if (match === null) throw wrong()
    total += Number(match[1]) * (unitNanoseconds[match[2] as string] as number)
    at = part.lastIndex
  }
  if (rest === '' || total > 2 ** 63) throw wrong()
  return sign * Math.round(total)
}

/** `1`, `t`, `true`, `0`, `f`, `false` in the spellings that Go takes; undefined otherwise. @see Go, strconv.ParseBool */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false
  return undefined
}

/** A number of at most 32 bits without sign, in base 8 or 10; undefined otherwise. @see Go, strconv.ParseUint */
export function parseUnsigned(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(text)) return undefined
  const value = Number.parseInt(text, base)
  return value <= 0xffffffff ? value : undefined
}

/** A number of at most 32 bits with sign. @see Go, strconv.ParseInt */
export function parseInteger(text: string): number | undefined {
  if (!/^[-+]?[0-9]+$/.test(text)) return undefined
  const value = Number(text)
  return value >= -(2 ** 31) && value < 2 ** 31 ? value : undefined
}

/** A size in bytes: `64m`, `1.5GiB`, `512`. Units are powers of 1024. @see go-units, RAMInBytes */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i.exec(text)
  if (match === null) return undefined
  const exponent = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1
  const size = Math.floor(Number(match[1]) * 1024 ** exponent)
  return Number.isSafeInteger(size) ? size : undefined
}
