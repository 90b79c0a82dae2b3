import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { ContainerOptions } from './spec.ts'

const maxBytes = 1024 * 1024

/**
 * What a container gets of this machine: names and resolvers. With the host's network, the host's own files hold (also a
 * resolver on 127.0.0.53, which it can reach there); without a network, only its own name can be resolved.
 */
export function hostFiles(
  network: 'host' | 'none',
  options: {
    readonly addHosts?: readonly { readonly host: string; readonly address: string }[]
    /** In place of the host's. */
    readonly nameservers?: readonly string[]
    readonly searchDomains?: readonly string[]
    readonly resolverOptions?: readonly string[]
  } = {},
): Required<Pick<ContainerOptions, 'files' | 'hostHostname'>> {
  const own = hostname()
  const base = network === 'host' ? read('/etc/hosts') : undefined
  const added = (options.addHosts ?? []).map(({ host, address }) => `${address === 'host-gateway' ? '127.0.0.1' : address}\t${host}\n`)
  const hosts = [base === undefined || base === '' ? localHosts : base.endsWith('\n') ? base : `${base}\n`, ...added].join('')
  const { nameservers = [], searchDomains = [], resolverOptions = [] } = options
  const resolvConf = [
    ...kept(read('/etc/resolv.conf') ?? '', [
      ...(nameservers.length > 0 ? ['nameserver'] : []),
      ...(searchDomains.length > 0 ? ['search', 'domain'] : []),
      ...(resolverOptions.length > 0 ? ['options'] : []),
    ]),
    ...nameservers.map((address) => `nameserver ${address}\n`),
    // A single dot asks for no search at all.
    ...(searchDomains.length > 0 && searchDomains[0] !== '.' ? [`search ${searchDomains.join(' ')}\n`] : []),
    ...(resolverOptions.length > 0 ? [`options ${resolverOptions.join(' ')}\n`] : []),
  ].join('')
  return { files: { hosts, resolvConf }, hostHostname: own }
}

/** The lines of a resolv.conf whose keyword is none of these. */
function kept(text: string, replaced: readonly string[]): string[] {
  const lines = text.split(/(?<=\n)/)
  return lines.filter((line) => !replaced.includes(/^\s*(\w+)/.exec(line)?.[1] ?? ''))
}

const localHosts = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n'

function read(path: string): string | undefined {
  try {
    const bytes = readFileSync(path)
    return bytes.length > maxBytes ? undefined : bytes.toString()
  } catch {
    // A machine without the file: the container then has one with the minimum.
    return undefined
  }
}
