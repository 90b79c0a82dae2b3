/** The files by which a process finds names: /etc/hosts and /etc/resolv.conf. */

/** In place of what the machine has. */
export interface Resolver {
  readonly nameservers?: readonly string[]
  /** A single dot asks for no search at all. */
  readonly searchDomains?: readonly string[]
  readonly options?: readonly string[]
}

export interface AddedHost {
  readonly host: string
  /** `host-gateway`: this machine, as it is reached from inside. */
  readonly address: string
}

const localHosts = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n'

/**
 * Contents of /etc/hosts.
 *
 * @param base The machine's, for what shares its network.
 */
export function hostsText(base: string | undefined, added: readonly AddedHost[] = []): string {
  const lines = added.map(({ host, address }) => `${address === 'host-gateway' ? '127.0.0.1' : address}\t${host}\n`)
  return [base === undefined || base === '' ? localHosts : base.endsWith('\n') ? base : `${base}\n`, ...lines].join('')
}

/** Adds the own name of a process, unless it is there: sudo and many servers look it up. */
export function withOwnName(hosts: string, hostname: string): string {
  const names = hosts.split('\n').flatMap((line) => line.replace(/#.*/, '').trim().split(/\s+/).slice(1))
  return names.includes(hostname) ? hosts : `${hosts}127.0.1.1\t${hostname}\n`
}

/**
 * Contents of /etc/resolv.conf.
 *
 * @param base The machine's. A process without a network has none: it would ask servers that it cannot reach.
 */
export function resolverText(base: string | undefined, { nameservers = [], searchDomains = [], options = [] }: Resolver = {}): string {
  return [
    ...kept(base ?? '', [
      ...(nameservers.length > 0 ? ['nameserver'] : []),
      ...(searchDomains.length > 0 ? ['search', 'domain'] : []),
      ...(options.length > 0 ? ['options'] : []),
    ]),
    ...nameservers.map((address) => `nameserver ${address}\n`),
    ...(searchDomains.length > 0 && searchDomains[0] !== '.' ? [`search ${searchDomains.join(' ')}\n`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}\n`] : []),
  ].join('')
}

/** The lines of a resolv.conf whose keyword is none of these. */
function kept(text: string, replaced: readonly string[]): string[] {
  const lines = text.split('\n').filter((line, position, all) => line !== '' || position < all.length - 1)
  return lines.filter((line) => !replaced.includes(/^\s*(\w+)/.exec(line)?.[1] ?? '')).map((line) => `${line}\n`)
}
