import { formatAddress, isWithin, parseSubnet, type Address, type Subnet } from '#text/address.ts'

/** `10.89.0.0/24`, the bits behind its size cleared. */
export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress(firstOf(subnet))}/${subnet.bits}`
}

/** The address of the network itself: all bits behind its size are zero. */
export function firstOf({ address, bits }: Subnet): Address {
  return address.map((byte, at) => byte & ((0xff00 >> Math.min(8, Math.max(0, bits - at * 8))) & 0xff))
}

/** Have the two an address in common? */
export function overlap(one: Subnet, other: Subnet): boolean {
  return one.bits <= other.bits ? isWithin(other.address, one) : isWithin(one.address, other)
}

/** An address as a number, for counting. */
export function numberOf(address: Address): bigint {
  return address.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

export function addressAt(subnet: Subnet, offset: bigint): Address {
  const value = numberOf(firstOf(subnet)) + offset
  const { length } = subnet.address
  return Uint8Array.from({ length }, (_, at) => Number((value >> BigInt(8 * (length - 1 - at))) & 0xffn))
}

/** How many addresses it has. */
export function sizeOf(subnet: Subnet): bigint {
  return 1n << BigInt(subnet.address.length * 8 - subnet.bits)
}

/**
 * The lowest address that nobody has: never the network's own, nor the last of IPv4, which is for all.
 *
 * @param range A part of the network that addresses come from.
 * @returns undefined if all are taken
 */
export function freeAddress(subnet: Subnet, taken: ReadonlySet<string>, range: Subnet = subnet): Address | undefined {
  const isV4 = subnet.address.length === 4
  const start = numberOf(firstOf(range)) - numberOf(firstOf(subnet))
  const last = sizeOf(subnet) - (isV4 ? 2n : 1n)
  for (let offset = start > 0n ? start : 1n; offset <= last && offset < start + sizeOf(range); offset++) {
    const address = addressAt(subnet, offset)
    if (!taken.has(formatAddress(address))) return address
  }
  return undefined
}

/** Networks of 256 addresses, in a part of 10.0.0.0/8 that others use rarely. */
const pool = parseSubnet('10.64.0.0/10')!
const poolBits = 24

/**
 * A network of IPv4 that overlaps none of those. The search begins where the id says, so that stores that know nothing
 * of each other rarely choose the same.
 *
 * @returns undefined if there is none
 */
export function freeSubnet(id: string, taken: readonly Subnet[]): Subnet | undefined {
  const count = 1 << (poolBits - pool.bits)
  const start = Number.parseInt(id.slice(0, 6), 16) % count
  for (let at = 0; at < count; at++) {
    const offset = BigInt((start + at) % count) << BigInt(32 - poolBits)
    const candidate = { address: addressAt(pool, offset), bits: poolBits }
    if (!taken.some((other) => overlap(candidate, other))) return candidate
  }
  return undefined
}

/** A network of IPv6 that is unique for all practical purposes. @see RFC 4193 */
export function uniqueSubnet(id: string): Subnet {
  const bytes = Uint8Array.from({ length: 16 }, (_, at) =>
    at === 0 ? 0xfd : at < 6 ? Number.parseInt(id.slice(2 * at, 2 * at + 2), 16) : 0,
  )
  return { address: bytes, bits: 64 }
}

/** Docker's way: the same address always has the same hardware address, and nobody's memory of it is wrong. */
export function macOf(address: Address): string {
  const bytes = [0x02, 0x42, ...address.slice(-4)]
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
