/** The small grammars of Go's standard library that Dockerfiles are written in. */

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
