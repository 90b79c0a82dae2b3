import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { StaveError } from '#error.ts'
import type { Subnet } from '#text/address.ts'
import * as limit from '#limit.ts'
import { serversOf } from './names.ts'

/** What a network needs to know of this machine. */
export interface HostFacts {
  readonly hosts: string | undefined
  readonly resolvConf: string
  readonly hostname: string
}

export function readHostFacts(): HostFacts {
  return { hosts: readHostFile('/etc/hosts'), resolvConf: readResolvConf(), hostname: hostname() }
}

/** systemd-resolved keeps the real servers beside the one that stands in /etc, which only this machine can reach. */
function readResolvConf(): string {
  const own = readHostFile('/etc/resolv.conf') ?? ''
  const servers = serversOf(own)
  const stub = servers.length > 0 && servers.every((server) => server === '127.0.0.53')
  return (stub ? readHostFile('/run/systemd/resolve/resolv.conf') : undefined) ?? own
}

/** As it stands in /etc. */
export function readOwnResolvConf(): string {
  return readHostFile('/etc/resolv.conf') ?? ''
}

/** A file of this machine that names its servers, addresses or routes, or nothing. */
export function readHostFile(path: string): string | undefined {
  try {
    const bytes = readFileSync(path)
    return bytes.length > limit.hostFileBytes ? undefined : bytes.toString()
  } catch {
    // A machine without the file: the container then has one with the minimum.
    return undefined
  }
}

/** The networks that this machine has routes to, the default ones apart; through links other than `bridge`. */
export function readRoutes(bridge?: string): readonly Subnet[] {
  return [
    ...parseRoutes(readHostFile('/proc/net/route') ?? '', bridge),
    ...parseRoutes6(readHostFile('/proc/net/ipv6_route') ?? '', bridge),
  ]
}

/** proc_pid_net(5): interface, destination and, in the eighth field, mask, as numbers in this machine's byte order. */
export function parseRoutes(text: string, bridge?: string): readonly Subnet[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [link = '', to = '', , , , , , mask = ''] = line.split('\t')
      if (!/^[0-9A-F]{8}$/.test(to) || link === bridge) return []
      const bits = Number.parseInt(mask, 16).toString(2).replaceAll('0', '').length
      return bits === 0 ? [] : [{ address: Uint8Array.from(Buffer.from(to, 'hex').reverse()), bits }]
    })
}

export function parseRoutes6(text: string, bridge?: string): readonly Subnet[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(/\s+/)
    const [to = '', bits = ''] = fields
    const address = Uint8Array.from(Buffer.from(to, 'hex'))
    // What every link has by itself (fe80::/10, ff00::/8), and addresses of this machine, are in nobody's way.
    const own = address[0] === 0xfe || address[0] === 0xff || bits === '80' || bits === '00'
    if (address.length !== 16 || own || fields.at(-1) === bridge) return []
    return [{ address, bits: Number.parseInt(bits, 16) }]
  })
}

/** How an ordinary user's packets are carried. */
export interface UserModeProgram {
  readonly kind: 'pasta' | 'slirp4netns'
  readonly program: string
}

/** Not from PATH: that is the user's own affair, and these get the container's traffic. */
const programDirectories = ['/usr/bin', '/usr/local/bin', '/bin', '/usr/sbin']

/**
 * The program that carries an ordinary user's packets: pasta, else slirp4netns.
 *
 * @throws StaveError `isolation` if there is none, or if it could not work here
 */
export function findUserMode(wanted?: UserModeProgram['kind']): UserModeProgram {
  const kinds = wanted === undefined ? (['pasta', 'slirp4netns'] as const) : [wanted]
  const found = kinds.flatMap((kind) => {
    const directory = programDirectories.find((candidate) => existsSync(`${candidate}/${kind}`))
    return directory === undefined ? [] : [{ kind, program: `${directory}/${kind}` }]
  })[0]
  const out = '--network host shares the network of this machine, --network none has none.'
  if (found === undefined) {
    const what = kinds.length === 1 ? `${kinds[0]} is not installed` : 'neither pasta nor slirp4netns is installed'
    const packages = kinds[0] === 'pasta' ? 'passt' : 'slirp4netns'
    throw new StaveError('isolation', `cannot make a private network: ${what}`, {
      hint: `sudo apt-get install ${packages}, or dnf install ${packages}. Or: ${out}`,
    })
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK)
  } catch (cause) {
    throw new StaveError('isolation', `cannot make a private network: this user may not open /dev/net/tun, which ${found.kind} needs`, {
      cause,
      hint: `Mostly everybody may: sudo chmod 0666 /dev/net/tun. Or: ${out}`,
    })
  }
  return found
}

/** The address that this machine has on the link to the outside, for containers to reach it by. */
export function outwardAddress(
  interfaces: NodeJS.Dict<readonly { readonly address: string; readonly family: string; readonly internal: boolean }[]>,
): string | undefined {
  const name = parseDefaultLink(readHostFile('/proc/net/route') ?? '')
  const usable = (of: string | undefined) => interfaces[of ?? '']?.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
  return (
    usable(name) ??
    Object.keys(interfaces)
      .map(usable)
      .find((address) => address !== undefined)
  )
}

function parseDefaultLink(text: string): string | undefined {
  return text
    .split('\n')
    .map((line) => line.split('\t'))
    .find(([, to, , , , , , mask]) => to === '00000000' && mask === '00000000')?.[0]
}
