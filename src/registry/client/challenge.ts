import * as limit from '#limit.ts'
/** One way of authenticating that a server offers. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y

/**
 * Reads a WWW-Authenticate field: several challenges, separated by the same commas as their parameters, quoted
 * strings with commas and escapes in them, a token68 instead of parameters. What cannot be understood is skipped.
 *
 * @see RFC 9110 §11.6.1
 */
export function parseChallenges(field: string): Challenge[] {
  const text = field.slice(0, limit.challengeLength)
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  let at = 0

  const skip = (characters: string) => {
    while (at < text.length && characters.includes(text[at]!)) at++
  }
  const readToken = (): string | undefined => {
    token.lastIndex = at
    const match = token.exec(text)
    if (match === null) return undefined
    at = token.lastIndex
    return match[0]
  }
  const readQuoted = (): string => {
    let value = ''
    for (at++; at < text.length && text[at] !== '"'; at++) {
      if (text[at] === '\\' && at + 1 < text.length) at++
      value += text[at]
    }
    at++
    return value
  }

  while (at < text.length) {
    skip(' \t,')
    if (at >= text.length) break
    const word = readToken()
    if (word === undefined) {
      // A stray character, such as a quoted string without a name.
      if (text[at] === '"') readQuoted()
      else at++
      continue
    }
    const afterWord = at
    skip(' \t')
    const current = challenges.at(-1)
    if (text[at] === '=' && current !== undefined) {
      at++
      skip(' \t')
      const value = text[at] === '"' ? readQuoted() : readUnquoted()
      const name = word.toLowerCase()
      // The first wins: a later one could be smuggled in through a value that a proxy passes on.
      if (!Object.hasOwn(current.parameters, name)) current.parameters[name] = value
      continue
    }
    at = afterWord
    challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) as Record<string, string> })
    skipToken68()
  }
  return challenges

  function readUnquoted(): string {
    const start = at
    while (at < text.length && !', \t'.includes(text[at]!)) at++
    return text.slice(start, at)
  }

  // `Negotiate YII=` carries one token instead of parameters. It ends at a comma; a parameter's name at `=`.
  function skipToken68(): void {
    const rest = /^[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/.exec(text.slice(at))
    if (rest !== null) at += rest[0].length
  }
}
