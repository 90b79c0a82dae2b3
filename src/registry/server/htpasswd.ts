import { compareSync } from 'bcryptjs'
import { createHash, timingSafeEqual } from 'node:crypto'
import * as limit from '#limit.ts'

/** The users of an htpasswd file: names and how their passwords are kept. Blank lines and comments are skipped. */
export function parseHtpasswd(text: string): Record<string, string> {
  const users = Object.create(null) as Record<string, string>
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0 && !line.startsWith('#')) users[line.slice(0, colon).trim()] = line.slice(colon + 1).trim()
  }
  return users
}

/**
 * Is it the password? Kept as bcrypt (`$2y$`, what `htpasswd -B` writes), Apache's MD5 (`$apr1$`), `{SHA}`, or plain.
 *
 * @see Apache's "Password Formats"
 */
export function isPassword(given: string, kept: string): boolean {
  const cost = bcryptCost(kept)
  if (cost !== undefined) return cost <= limit.bcryptCost && compareSync(given, kept)
  const computed = compute(given, kept)
  // Of equal length, so that time tells nothing of where they differ.
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return computed !== undefined && timingSafeEqual(hash(computed), hash(kept))
}

function bcryptCost(kept: string): number | undefined {
  const cost = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(kept)?.[1]
  return cost === undefined ? undefined : Number(cost)
}

/** How long a check of this kind takes, as a rank: 0 is at once, the highest the slowest. */
export function costOf(kept: string): number {
  return bcryptCost(kept) ?? (kept.startsWith('$apr1$') ? 1 : 0)
}

function compute(given: string, kept: string): string | undefined {
  if (kept.startsWith('$apr1$')) return apacheMd5(given, kept)
  if (kept.startsWith('{SHA}')) return `{SHA}${createHash('sha1').update(given).digest('base64')}`
  // Another form of crypt(3) is no password in plain text.
  return /^\$\w+\$/.test(kept) ? undefined : given
}

const rounds = 1000
const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function apacheMd5(password: string, kept: string): string | undefined {
  const salt = /^\$apr1\$([^$]{0,8})\$/.exec(kept)?.[1]
  if (salt === undefined) return undefined
  const key = Buffer.from(password)
  const md5 = (...parts: (Uint8Array | string)[]) => {
    const hash = createHash('md5')
    for (const part of parts) hash.update(part)
    return hash.digest()
  }
  const inner = md5(key, salt, key)
  const parts: (Uint8Array | string)[] = [key, '$apr1$', salt]
  for (let left = key.length; left > 0; left -= 16) parts.push(inner.subarray(0, Math.min(16, left)))
  for (let bits = key.length; bits > 0; bits >>= 1) parts.push((bits & 1) === 1 ? Buffer.of(0) : key.subarray(0, 1))
  let state = md5(...parts)
  for (let round = 0; round < rounds; round++) {
    const isOdd = (round & 1) === 1
    state = md5(isOdd ? key : state, round % 3 === 0 ? '' : salt, round % 7 === 0 ? '' : key, isOdd ? state : key)
  }
  let text = ''
  const encode = (value: number, length: number) => {
    let rest = value
    for (let at = 0; at < length; at++, rest >>= 6) text += alphabet[rest & 63]
  }
  for (const [a, b, c] of [
    [0, 6, 12],
    [1, 7, 13],
    [2, 8, 14],
    [3, 9, 15],
    [4, 10, 5],
  ] as const)
    encode((state[a]! << 16) | (state[b]! << 8) | state[c]!, 4)
  encode(state[11]!, 2)
  return `$apr1$${salt}$${text}`
}
