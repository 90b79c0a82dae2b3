import { fault } from './fault.ts'
import { parseUnsigned } from './go-values.ts'

/** One argument of EXPOSE, read. */
export interface ExposedPort {
  /** `80/tcp`, one for each port of a range. */
  readonly ports: readonly string[]
  /** As written; `tcp` if not. */
  readonly protocol: string
  /** Has an address or a host port, which EXPOSE tolerates and ignores. */
  readonly isMapping: boolean
}

/** The ports that the words of an EXPOSE mean: `8000-8001/udp` is `8000/udp` and `8001/udp`. */
export function parsePorts(words: readonly string[]): string[] {
  return words.flatMap((word) => parseExposed(word).ports)
}

/** Reads `[address:][host:]port[-end][/protocol]`. @throws StaveError `dockerfile`, without span */
export function parseExposed(word: string): ExposedPort {
  const parts = word.split(':')
  const last = parts.at(-1) ?? ''
  const host = parts.length > 1 ? (parts.at(-2) ?? '') : ''
  const address = parts.slice(0, -2).join(':')
  const slash = last.indexOf('/')
  const range = slash < 0 ? last : last.slice(0, slash)
  const protocol = slash < 0 || slash === last.length - 1 ? 'tcp' : last.slice(slash + 1)
  const wrong = (why: string): Error =>
    fault(`invalid port ${JSON.stringify(word)}: ${why}`, undefined, 'Write EXPOSE 8080, 8080/udp or 8000-8010/tcp.')
  if (range === '') throw wrong('there is no port')
  if (!['tcp', 'udp', 'sctp'].includes(protocol.toLowerCase())) throw wrong(`the protocol ${protocol} is none of tcp, udp and sctp`)
  if (address !== '' && !isAddress(address)) throw wrong(`${address} is no IP address`)
  const [first, end] = portRange(range, wrong)
  if (host !== '') {
    const [hostFirst, hostEnd] = portRange(host, wrong)
    if (end !== first && hostEnd - hostFirst !== end - first) throw wrong('the ranges differ in length')
  }
  const ports = Array.from({ length: end - first + 1 }, (_, i) => `${first + i}/${protocol.toLowerCase()}`)
  return { ports, protocol, isMapping: address !== '' || host !== '' }
}

function portRange(text: string, wrong: (why: string) => Error): [number, number] {
  const dash = text.indexOf('-')
  const first = portNumber(dash < 0 ? text : text.slice(0, dash), wrong)
  const end = dash < 0 ? first : portNumber(text.slice(dash + 1), wrong)
  if (end < first) throw wrong('the range ends before it begins')
  return [first, end]
}

function portNumber(text: string, wrong: (why: string) => Error): number {
  const port = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(port <= 65_535)) throw wrong(`${JSON.stringify(text)} is no number from 0 to 65535`)
  return port
}

function isAddress(text: string): boolean {
  if (/^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text)) return true
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (!bare.includes(':')) return false
  const halves = bare.split('::')
  if (halves.length > 2) return false
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  return groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)) && (halves.length === 2 ? groups.length < 8 : groups.length === 8)
}

/** `--chmod`: a number, which counts for made directories too, or clauses as in chmod(1). */
export type Chmod = { readonly kind: 'octal'; readonly mode: number } | { readonly kind: 'symbolic' }

/** Reads the value of `--chmod`, expanded: `755` or `u=rwX,go=rX`. @throws StaveError `dockerfile`, without span */
export function parseChmod(text: string): Chmod {
  const mode = /^\d/.test(text) ? parseUnsigned(text, 8) : undefined
  if (mode !== undefined && mode <= 0o7777) return { kind: 'octal', mode }
  if (text.split(',').every((clause) => /^[ugoa]*(?:[-+=](?:[rwxXst]+|[ugo])?)+$/.test(clause))) return { kind: 'symbolic' }
  throw fault(`invalid chmod ${JSON.stringify(text)}`, undefined, 'Write an octal number up to 7777, or symbols such as u=rwX,go=rX.')
}

/** `--chown`, read. A group that is not given is the user's own, or for a number the same number. */
export interface Owner {
  readonly user: string
  readonly group?: string
}

/** Reads the value of `--chown`, expanded: `user`, `user:group`, names or numbers. @throws StaveError `dockerfile`, without span */
export function parseChown(text: string): Owner {
  const wrong = (why: string): Error =>
    fault(`invalid chown ${JSON.stringify(text)}: ${why}`, undefined, 'Write USER or USER:GROUP, each a name or a number.')
  const parts = text.split(':')
  const [user = '', group] = parts
  if (parts.length > 2) throw wrong('there is more than one colon')
  if (user === '' && (group === undefined || group === '')) throw wrong('it names nobody')
  if (group === '') throw wrong('the group is empty')
  for (const name of [user, group ?? '']) {
    if (/[\s/]/.test(name)) throw wrong(`${JSON.stringify(name)} is no name`)
    if (/^\d+$/.test(name) && parseUnsigned(name, 10) === undefined) throw wrong(`${name} is too large`)
  }
  return { user: user === '' ? '0' : user, ...(group !== undefined && { group }) }
}

/** The directory that `WORKDIR path` means where `current` is the one before (`''` at first). */
export function normalizeWorkdir(current: string, path: string): string {
  const joined = path.startsWith('/') ? path : `${current === '' ? '/' : current}/${path}`
  const parts: string[] = []
  for (const part of joined.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return `/${parts.join('/')}`
}
