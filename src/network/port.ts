import { StaveError } from '#error.ts'
import { formatAddress, parseAddress } from '#text/address.ts'
import * as limit from '#limit.ts'

/** A published port, as it was asked for. */
export interface PortMapping {
  /** Absent: every address of this machine. */
  readonly hostAddress?: string
  /** 0: one that is free. */
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp'
}

/**
 * Reads `-p [[IP:][HOST]:]PORT[/PROTOCOL]` words, with ranges `8000-8010:80-90`; a range for one port of the container
 * stands for the first of it that is free, and is not taken.
 *
 * @throws StaveError `usage`
 */
export function parsePorts(words: readonly string[]): readonly PortMapping[] {
  const ports = words.flatMap(parsePort)
  if (ports.length > limit.publishedPorts) throw usage(`${ports.length} ports are to be published: the most is ${limit.publishedPorts}`)
  const seen = new Set<string>()
  return ports.filter((port) => {
    if (port.hostPort === 0) return true
    const key = `${port.hostAddress ?? ''} ${port.hostPort}/${port.protocol}`
    const whole = `${key} ${port.containerPort}`
    // The same twice is once (Docker, podman); one port of this machine for two is an error.
    if (seen.has(whole)) return false
    if (seen.has(key)) throw usage(`port ${port.hostPort}/${port.protocol} of this machine is to be published twice`)
    seen.add(key).add(whole)
    return true
  })
}

function parsePort(word: string): readonly PortMapping[] {
  const [, body = '', protocolText = 'tcp'] = /^([^/]*)(?:\/(.*))?$/.exec(word) ?? []
  const protocol = protocolText.toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp')
    throw usage(`-p ${word}: ${JSON.stringify(protocolText)} cannot be published`, 'There are tcp and udp.')
  const { address, host, container } = partsOf(body, word)
  const [first, last] = rangeOf(container, word)
  const count = last - first + 1
  const common = { protocol, ...(address !== undefined && { hostAddress: address }) } as const
  const portAt = (at: number, hostPort: number) => ({ ...common, hostPort, containerPort: first + at })
  if (host === '' || host === '0') return Array.from({ length: count }, (_, at) => portAt(at, 0))
  const [hostFirst, hostLast] = rangeOf(host, word)
  if (hostLast - hostFirst + 1 !== count) {
    throw usage(
      `-p ${word}: the ranges differ in length, ${hostLast - hostFirst + 1} of this machine and ${count} of the container`,
      'Leave the port of this machine out to have one chosen: -p PORT.',
    )
  }
  return Array.from({ length: count }, (_, at) => portAt(at, hostFirst + at))
}

/** From the end: an address of IPv6 stands in brackets. */
function partsOf(body: string, word: string): { address?: string; host: string; container: string } {
  const match = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([0-9-]*):)?([0-9-]+)$/.exec(body)
  if (match === null) throw usage(`-p ${word} is not understood`, 'Write -p [IP:][HOST:]PORT[/udp], such as 8080:80 or 127.0.0.1:8080:80.')
  const [, addressText, host = '', container = ''] = match
  if (addressText === undefined || addressText === '') return { host, container }
  const address = parseAddress(addressText)
  if (address === undefined) throw usage(`-p ${word}: ${JSON.stringify(addressText)} is not an address of this machine`)
  return { address: formatAddress(address), host, container }
}

function rangeOf(text: string, word: string): readonly [number, number] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  const first = Number(match?.[1])
  const last = match?.[2] === undefined ? first : Number(match[2])
  if (match === null || first < 1 || last > 65_535) throw usage(`-p ${word}: ports are from 1 to 65535`)
  if (last < first) throw usage(`-p ${word}: the range ${text} ends before it begins`)
  return [first, last]
}

/** What an image's ExposedPorts and `--expose` name, as `80/tcp`: for `-P` and for `inspect`. @throws StaveError `usage` */
export function parseExposed(words: readonly string[]): readonly string[] {
  const ports = words.flatMap((word) => {
    const [, range = '', protocol = 'tcp'] = /^([0-9-]+)(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? []
    if (range === '') throw usage(`--expose ${JSON.stringify(word)} is not a port`, 'Write 80, 53/udp or 8000-8010.')
    const [first, last] = rangeOf(range, word)
    return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol.toLowerCase()}`)
  })
  return [...new Set(ports)]
}

/** `-P`: each exposed port that is not published yet, on one that is free. */
export function publishAll(exposed: readonly string[], published: readonly PortMapping[]): readonly PortMapping[] {
  const has = new Set(published.map(portName))
  const more = exposed.filter((name) => !has.has(name) && /\/(tcp|udp)$/.test(name))
  return [
    ...published,
    ...more.map((name): PortMapping => {
      const [port, protocol] = name.split('/')
      return { hostPort: 0, containerPort: Number(port), protocol: protocol as 'tcp' | 'udp' }
    }),
  ]
}

/** `80/tcp`: how the container calls it. */
export function portName(port: Pick<PortMapping, 'containerPort' | 'protocol'>): string {
  return `${port.containerPort}/${port.protocol}`
}

/** Where it is reached: `0.0.0.0:8080`, `[::1]:8080`. */
export function formatHost({ hostAddress = '0.0.0.0', hostPort }: PortMapping): string {
  return hostAddress.includes(':') ? `[${hostAddress}]:${hostPort}` : `${hostAddress}:${hostPort}`
}

/** As `ps` shows them: `0.0.0.0:8080->80/tcp, 9000/tcp`, neighbouring ports as one range. */
export function formatPorts(published: readonly PortMapping[], exposed: readonly string[] = []): string {
  const sorted = published.toSorted(
    (a, b) =>
      a.protocol.localeCompare(b.protocol) ||
      (a.hostAddress ?? '').localeCompare(b.hostAddress ?? '') ||
      a.containerPort - b.containerPort ||
      a.hostPort - b.hostPort,
  )
  const texts: string[] = []
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at]!
    let end = at
    while (end + 1 < sorted.length && follows(sorted[end]!, sorted[end + 1]!)) end++
    const last = sorted[end]!
    const range = (from: number, to: number) => (from === to ? String(from) : `${from}-${to}`)
    const host = formatHost(first).replace(/\d+$/, range(first.hostPort, last.hostPort))
    texts.push(`${host}->${range(first.containerPort, last.containerPort)}/${first.protocol}`)
    at = end + 1
  }
  const names = new Set(published.map(portName))
  return [...texts, ...exposed.filter((name) => !names.has(name))].join(', ')
}

function follows(one: PortMapping, next: PortMapping): boolean {
  return (
    one.protocol === next.protocol &&
    one.hostAddress === next.hostAddress &&
    one.containerPort + 1 === next.containerPort &&
    one.hostPort + 1 === next.hostPort
  )
}

function usage(message: string, hint?: string): StaveError {
  return new StaveError('usage', message, { ...(hint !== undefined && { hint }) })
}
