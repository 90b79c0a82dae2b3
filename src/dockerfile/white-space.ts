/**
 * White space as Go's `unicode.IsSpace` and the Dockerfile grammar see it. JavaScript's own `\s` and `trim` differ:
 * they count U+FEFF and leave out U+0085.
 */

/** Is this UTF-16 unit white space (Unicode property White_Space)? */
export function isSpace(unit: number): boolean {
  if (unit <= 0x20) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d)
  if (unit < 0x1680) return unit === 0x85 || unit === 0xa0
  return (
    unit === 0x1680 ||
    (unit >= 0x2000 && unit <= 0x200a) ||
    unit === 0x2028 ||
    unit === 0x2029 ||
    unit === 0x202f ||
    unit === 0x205f ||
    unit === 0x3000
  )
}

/** Is it white space of ASCII? */
export function isAsciiSpace(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d)
}

/** Does this UTF-16 unit separate words of an instruction? Only ASCII blanks do. */
export function isSeparator(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d && unit !== 0x0a)
}

/** The first offset from `start` on, before `end`, that is not white space; `end` if there is none. */
export function skipSpace(text: string, start: number, end = text.length): number {
  let at = start
  while (at < end && isSpace(text.charCodeAt(at))) at++
  return at
}

/** The offset after the last character before `end` that is not white space; `start` if there is none. */
export function skipSpaceBack(text: string, start: number, end = text.length): number {
  let at = end
  while (at > start && isSpace(text.charCodeAt(at - 1))) at--
  return at
}

/** `text` without white space around it. */
export function trimSpace(text: string): string {
  const start = skipSpace(text, 0)
  return text.slice(start, skipSpaceBack(text, start))
}

/** The length in bytes as UTF-8, counted only as far as `limit`: more than `limit` means "longer". */
export function utf8Length(text: string, limit = Number.POSITIVE_INFINITY): number {
  if (text.length > limit) return text.length
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      bytes += 4
      i++
    } else bytes += 3
    if (bytes > limit) return bytes
  }
  return bytes
}
