/** What Node's OpenSSL does not have: the password hash that registries' htpasswd files are written in. */

const alphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const subkeys = 18
const boxes = 4 * 256
/** More would keep the server from everything else for minutes. */
const maxCost = 15

/**
 * Hashes a password as an existing hash was made: with its version, cost and salt. Undefined when it is no such hash.
 *
 * @see Provos and Mazières, "A Future-Adaptable Password Scheme", USENIX 1999
 */
export function bcrypt(password: string, kept: string): string | undefined {
  const match = /^(\$2[aby]\$(\d\d)\$([./A-Za-z0-9]{22}))[./A-Za-z0-9]{31}$/.exec(kept)
  const cost = Number(match?.[2])
  if (match === null || cost < 4 || cost > maxCost) return undefined
  const salt = words(decode(match[3]!, 16), 4)
  // The byte after the end belongs to the key; of a long one only the first 72 bytes count.
  const key = words(Buffer.concat([Buffer.from(password), Buffer.of(0)]).subarray(0, 72), subkeys)
  const state = new Int32Array(initial())
  expand(state, key, salt)
  const none = new Int32Array(4)
  const saltKey = Int32Array.from({ length: subkeys }, (_, index) => salt[index % 4]!)
  for (let round = 2 ** cost; round > 0; round--) {
    expand(state, key, none)
    expand(state, saltKey, none)
  }
  const text = words(Buffer.from('OrpheanBeholderScryDoubt'), 6)
  for (let block = 0; block < 6; block += 2) for (let time = 0; time < 64; time++) encipher(state, text, block)
  const bytes = Buffer.alloc(24)
  text.forEach((word, index) => bytes.writeInt32BE(word, index * 4))
  return match[1]! + encode(bytes.subarray(0, 23))
}

/** Blowfish's key schedule, with a salt mixed in. `state` is the 18 subkeys, then the four boxes. */
function expand(state: Int32Array, key: Int32Array, salt: Int32Array): void {
  for (let index = 0; index < subkeys; index++) state[index]! ^= key[index]!
  const block = new Int32Array(2)
  for (let index = 0; index < subkeys + boxes; index += 2) {
    block[0]! ^= salt[index % 4]!
    block[1]! ^= salt[(index + 1) % 4]!
    encipher(state, block, 0)
    state[index] = block[0]!
    state[index + 1] = block[1]!
  }
}

function encipher(state: Int32Array, block: Int32Array, at: number): void {
  let left = block[at]! ^ state[0]!
  let right = block[at + 1]!
  for (let round = 1; round <= 16; round++) {
    const mixed =
      (((state[18 + (left >>> 24)]! + state[274 + ((left >>> 16) & 255)]!) ^ state[530 + ((left >>> 8) & 255)]!) +
        state[786 + (left & 255)]!) |
      0
    const next = right ^ mixed ^ state[round]!
    right = left
    left = next
  }
  block[at] = right ^ state[17]!
  block[at + 1] = left
}

let pi: Int32Array | undefined

/** Blowfish begins with the binary digits of π after the point; they are computed, by Machin's formula. */
function initial(): Int32Array {
  if (pi !== undefined) return pi
  const guard = 64n
  const count = subkeys + boxes
  const one = 1n << (BigInt(count * 32) + guard)
  const arctanOfInverse = (x: bigint) => {
    let sum = 0n
    let power = one / x
    for (let odd = 1n; power > 0n; odd += 2n, power /= x * x) sum += odd % 4n === 1n ? power / odd : -(power / odd)
    return sum
  }
  const fraction = ((16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n)) >> guard) - (3n << BigInt(count * 32))
  const digits = fraction.toString(16).padStart(count * 8, '0')
  pi = Int32Array.from({ length: count }, (_, index) => parseInt(digits.slice(index * 8, index * 8 + 8), 16) | 0)
  return pi
}

/** So many words, from bytes that are repeated as often as needed. */
function words(bytes: Uint8Array, count: number): Int32Array {
  let at = 0
  const next = () => bytes[at++ % bytes.length]!
  return Int32Array.from({ length: count }, () => (next() << 24) | (next() << 16) | (next() << 8) | next())
}

function decode(text: string, length: number): Buffer {
  let bits = 0n
  for (const character of text) bits = (bits << 6n) | BigInt(alphabet.indexOf(character))
  const extra = BigInt(text.length * 6 - length * 8)
  return Buffer.from((bits >> extra).toString(16).padStart(length * 2, '0'), 'hex')
}

function encode(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 3) {
    const left = Math.min(3, bytes.length - at)
    const value = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    for (let index = 0; index <= left; index++) text += alphabet[(value >> (18 - index * 6)) & 63]
  }
  return text
}
