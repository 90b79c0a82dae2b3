/** An IP address as its bytes in network order: 4 of IPv4, 16 of IPv6. */
export type Address = Uint8Array

/** A network: the addresses whose first `bits` bits are those of `address`. */
export interface Subnet {
  readonly address: Address
  readonly bits: number
}

/**
 * Parses an address literal: dotted decimal without leading zeros, or IPv6 with an optional zone (which is dropped) and
 * optional brackets, as URLs write it.
 *
 * @returns undefined for anything else, host names too
 * @see RFC 4291, section 2.2
 */
export function parseAddress(text: string): Address | undefined {
  const bare = /^\[(.*)\]$/s.exec(text)?.[1] ?? text
  return bare.includes(':') ? parseIPv6(bare.replace(/%.*$/s, '')) : parseIPv4(bare)
}

function parseIPv4(text: string): Address | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
  return Uint8Array.from(parts, Number)
}

function parseIPv6(text: string): Address | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  // An IPv4 address stands at the end of the whole, never before the gap.
  const [head, tail] = [groups(halves[0]!, halves.length === 1), groups(halves[1] ?? '', true)]
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined
  return Uint8Array.from([...head, ...Array<number>(missing).fill(0), ...tail])
}

/** The bytes of groups between colons; at the end of an address the last may be one of IPv4. */
function groups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  const bytes: number[] = []
  for (const [at, part] of parts.entries()) {
    const embedded = atEnd && at === parts.length - 1 && part.includes('.') ? parseIPv4(part) : undefined
    if (embedded !== undefined) bytes.push(...embedded)
    else if (/^[0-9a-f]{1,4}$/i.test(part)) bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff)
    else return undefined
  }
  return bytes
}

/** Writes an address in its usual form: the longest run of zero groups of IPv6 as `::`. @see RFC 5952 */
export function formatAddress(address: Address): string {
  if (address.length === 4) return address.join('.')
  const words = Array.from({ length: 8 }, (_, at) => ((address[2 * at]! << 8) | address[2 * at + 1]!).toString(16))
  const runs = [
    ...words
      .map((word) => (word === '0' ? '0' : 'x'))
      .join('')
      .matchAll(/00+/g),
  ].sort((a, b) => b[0].length - a[0].length)
  const longest = runs[0]
  if (longest === undefined) return words.join(':')
  return `${words.slice(0, longest.index).join(':')}::${words.slice(longest.index + longest[0].length).join(':')}`
}

/** Parses `ADDRESS/BITS`; a bare address is a network of one. @returns undefined for anything else */
export function parseSubnet(text: string): Subnet | undefined {
  const [, literal = '', size] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = parseAddress(literal)
  if (address === undefined) return undefined
  const bits = size === undefined ? address.length * 8 : Number(size)
  return bits > address.length * 8 ? undefined : { address, bits }
}

/** Is the address in the network? An IPv4 address never is in one of IPv6, and the other way round. */
export function isWithin(address: Address, subnet: Subnet): boolean {
  if (address.length !== subnet.address.length) return false
  for (let at = 0; at * 8 < subnet.bits; at++) {
    const mask = (0xff << Math.max(0, 8 - (subnet.bits - at * 8))) & 0xff
    if (((address[at]! ^ subnet.address[at]!) & mask) !== 0) return false
  }
  return true
}

const subnets = (...texts: readonly string[]): readonly Subnet[] => texts.map((text) => parseSubnet(text)!)

const loopback = subnets('127.0.0.0/8', '::1/128')

/** What is not a public unicast address. @see IANA's special-purpose address registries (RFC 6890) */
const notPublic = subnets(
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/128',
  '::1/128',
  // The local use of NAT64 (RFC 8215) leads into networks that only this machine's gateway knows.
  '64:ff9b:1::/48',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
)

/** IPv6 networks whose addresses stand for one of IPv4, with where its four bytes are. */
const embedding: readonly { readonly subnet: Subnet; readonly at: number; readonly flipped?: boolean }[] = [
  // mapped, translated (SIIT), compatible
  { subnet: parseSubnet('::ffff:0:0/96')!, at: 12 },
  { subnet: parseSubnet('::ffff:0:0:0/96')!, at: 12 },
  { subnet: parseSubnet('::/96')!, at: 12 },
  // NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380), which writes them inverted
  { subnet: parseSubnet('64:ff9b::/96')!, at: 12 },
  { subnet: parseSubnet('2002::/16')!, at: 2 },
  { subnet: parseSubnet('2001::/32')!, at: 12, flipped: true },
]

function embedded(address: Address): Address | undefined {
  const found = embedding.find(({ subnet }) => isWithin(address, subnet))
  if (found === undefined) return undefined
  const inner = address.slice(found.at, found.at + 4)
  return found.flipped ? inner.map((byte) => byte ^ 0xff) : inner
}

/** Does the address lead to this machine, or into a network that is not the public internet, in whichever form it is written? */
export function isPrivateAddress(address: Address): boolean {
  if (notPublic.some((subnet) => isWithin(address, subnet))) return true
  const inner = embedded(address)
  return inner !== undefined && isPrivateAddress(inner)
}

/** Is this host name, or address literal, this machine itself: `localhost`, a name below it, 127.0.0.0/8 or ::1? */
export function isLoopback(host: string): boolean {
  if (/^(?:.*\.)?localhost\.?$/i.test(host)) return true
  const address = parseAddress(host)
  if (address === undefined) return false
  const mapped = isWithin(address, embedding[0]!.subnet) ? embedded(address)! : address
  return loopback.some((subnet) => isWithin(mapped, subnet))
}

/** Is this an address literal, or a name of this machine, that {@link isPrivateAddress} holds for? Other names are not looked up. */
export function isPrivateHost(host: string): boolean {
  if (isLoopback(host)) return true
  const address = parseAddress(host)
  return address !== undefined && isPrivateAddress(address)
}
