import { StaveError } from '#error.ts'
import { parseAddress } from '#text/address.ts'

/** A named network that a container is to be on, and what it is there. */
export interface NetworkPlace {
  readonly name: string
  readonly aliases?: readonly string[]
  readonly ip?: string
  readonly ip6?: string
  readonly mac?: string
  /** The link's name inside. */
  readonly interface?: string
}

/** What `--network` says, as a whole. */
export type NetworkChoice =
  | { readonly mode: 'host' | 'none' }
  /** The default: a network of its own, made in the way that this machine has for it. */
  | { readonly mode: 'private'; readonly program?: 'pasta' | 'slirp4netns'; readonly place?: Omit<NetworkPlace, 'name'> }
  | { readonly mode: 'networks'; readonly networks: readonly NetworkPlace[] }
  | { readonly mode: 'container'; readonly container: string }
  | { readonly mode: 'path'; readonly path: string }

/** The flags beside `--network` that are about one network. */
export interface PlaceFlags {
  readonly aliases?: readonly string[]
  readonly ip?: string
  readonly ip6?: string
  readonly mac?: string
}

/** What the default network of root is called, as in Docker. */
export const defaultNetwork = 'bridge'

const interfacePattern = /^[A-Za-z0-9_.-]{1,15}$/

/**
 * Reads `--network` words: `host`, `none`, `private`, `bridge`, `NAME[:ip=…,ip6=…,mac=…,alias=…,interface_name=…]`,
 * `container:ID`, `ns:PATH`. No word is the default, `private`.
 *
 * @throws StaveError `usage`
 */
export function parseNetworks(words: readonly string[], flags: PlaceFlags = {}): NetworkChoice {
  // Docker and podman take a list in one word as well.
  const all = words.flatMap(splitList)
  const [first = 'private'] = all
  const alone = aloneOf(first, flags)
  if (alone !== undefined) {
    if (all.length > 1) throw usage(`--network ${first} cannot be combined with another network`)
    if (alone.mode !== 'private') refusePlace(first, flags)
    return alone
  }
  const networks = all.map((word) => {
    if (aloneOf(word, {}) !== undefined) throw usage(`--network ${word} cannot be combined with another network`)
    return placeOf(word)
  })
  const twice = networks.find(({ name }, at) => networks.findIndex((other) => other.name === name) !== at)
  if (twice !== undefined) throw usage(`--network names ${twice.name} twice`)
  const { aliases = [], ...single } = placeFlags(flags)
  if (networks.length > 1 && Object.keys(single).length > 0)
    throw usage('--ip, --ip6 and --mac-address are for one network', 'With several, write --network NAME:ip=ADDRESS for each.')
  return {
    mode: 'networks',
    networks: networks.map((place) => ({
      ...single,
      ...place,
      ...((aliases.length > 0 || place.aliases !== undefined) && { aliases: [...aliases, ...(place.aliases ?? [])] }),
    })),
  }
}

/** `a,b` are two networks; the options behind a colon have commas of their own. */
function splitList(word: string): readonly string[] {
  return word.includes(':') || word.includes('=') ? [word] : word.split(',')
}

function aloneOf(word: string, flags: PlaceFlags): NetworkChoice | undefined {
  const [head = '', rest = ''] = word.split(/:(.*)/s)
  switch (head) {
    case 'host':
    case 'none':
      return rest === '' ? { mode: head } : undefined
    case 'private':
    case 'default': {
      const place = placeFlags(flags)
      return rest === '' ? { mode: 'private', ...(Object.keys(place).length > 0 && { place }) } : undefined
    }
    case 'pasta':
    case 'slirp4netns':
      if (rest !== '') throw usage(`--network ${word}: ${head} is started with settings of its own, and takes no options`)
      return { mode: 'private', program: head }
    case 'container':
      if (rest === '') throw usage('--network container: names no container', 'Write --network container:NAME.')
      return { mode: 'container', container: rest }
    case 'ns':
      if (!rest.startsWith('/')) throw usage(`--network ${word} names no absolute path`, 'Write --network ns:/run/netns/NAME.')
      return { mode: 'path', path: rest }
    default:
      return undefined
  }
}

/** Docker's long form, `name=NET,alias=A`, and podman's, `NET:alias=A`. */
function placeOf(word: string): NetworkPlace {
  const long = /^(?:name|source)=/.test(word)
  const [head = '', rest = ''] = long ? ['', word] : word.split(/:(.*)/s)
  let place: { -readonly [K in keyof NetworkPlace]: NetworkPlace[K] } = { name: checkNetworkName(long ? undefined : head, word) }
  for (const part of rest === '' ? [] : rest.split(',')) {
    const [key = '', value = ''] = part.split(/=(.*)/s)
    if ((key === 'name' || key === 'source') && long) place = { ...place, name: checkNetworkName(value, word) }
    else if (key === 'alias') place.aliases = [...(place.aliases ?? []), checkHostName(value, 'alias')]
    else if (key === 'ip') Object.assign(place, ipOf(value, part))
    else if (key === 'ip6') place.ip6 = addressOf(value, 16, part)
    else if (key === 'mac' || key === 'mac-address') place.mac = checkMac(value)
    else if (key === 'interface_name' && interfacePattern.test(value) && value !== 'lo') place.interface = value
    else
      throw usage(`--network ${word}: ${JSON.stringify(part)} is not understood`, 'There are ip=, ip6=, mac=, alias= and interface_name=.')
  }
  if (place.name === '') throw usage(`--network ${word} names no network`)
  return place
}

function checkNetworkName(name: string | undefined, word: string): string {
  if (name === undefined) return ''
  if (!isNetworkName(name)) throw usage(`--network ${word}: ${JSON.stringify(name)} cannot be the name of a network`)
  return name
}

/** Letters, digits, and inside also `_`, `.` and `-`: nothing that is a path, an option or another's word. */
export function isNetworkName(name: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) && name.length <= 128
}

function placeFlags(flags: PlaceFlags): Omit<NetworkPlace, 'name'> {
  const { aliases = [], ip, ip6, mac } = flags
  return {
    ...(aliases.length > 0 && { aliases: aliases.map((alias) => checkHostName(alias, '--network-alias')) }),
    ...(ip !== undefined && ipOf(ip, `--ip ${ip}`)),
    ...(ip6 !== undefined && { ip6: addressOf(ip6, 16, `--ip6 ${ip6}`) }),
    ...(mac !== undefined && { mac: checkMac(mac) }),
  }
}

/** Without a network of its own, a container has no place on it. */
function refusePlace(word: string, flags: PlaceFlags): void {
  const given = Object.entries({ '--network-alias': flags.aliases?.[0], '--ip': flags.ip, '--ip6': flags.ip6, '--mac-address': flags.mac })
  const [flag] = given.find(([, value]) => value !== undefined) ?? []
  if (flag !== undefined) throw usage(`${flag} needs a network of the container's own, and --network ${word} is none`)
}

/** Podman's `ip=` takes an address of either kind. */
function ipOf(text: string, shown: string): { ip: string } | { ip6: string } {
  return text.includes(':') ? { ip6: addressOf(text, 16, shown) } : { ip: addressOf(text, 4, shown) }
}

function addressOf(text: string, length: 4 | 16, shown: string): string {
  const address = parseAddress(text)
  if (address?.length === length) return text.toLowerCase()
  throw usage(`${shown} is not an address of ${length === 4 ? 'IPv4' : 'IPv6'}`)
}

/** @throws StaveError `usage` unless it is a hardware address that one link may have */
export function checkMac(text: string): string {
  const mac = text.toLowerCase().replaceAll('-', ':')
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
    throw usage(`${JSON.stringify(text)} is not a hardware address such as 92:d0:c6:0a:29:33`)
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0)
    throw usage(`the hardware address ${text} is one of a group: its first byte must be even`)
  return mac
}

/** @throws StaveError `usage` unless others can look it up */
export function checkHostName(name: string, what: string): string {
  if (name.length <= 253 && /^(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$/.test(name)) return name
  throw usage(`${what} ${JSON.stringify(name)} cannot be the name of a host`)
}

function usage(message: string, hint?: string): StaveError {
  return new StaveError('usage', message, { ...(hint !== undefined && { hint }) })
}
