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
  options: { readonly addHosts?: readonly { readonly host: string; readonly address: string }[] } = {},
): Required<Pick<ContainerOptions, 'files' | 'hostHostname'>> {
  const own = hostname()
  const base = network === 'host' ? read('/etc/hosts') : undefined
  const added = (options.addHosts ?? []).map(({ host, address }) => `${address === 'host-gateway' ? '127.0.0.1' : address}\t${host}\n`)
  const hosts = [base === undefined || base === '' ? localHosts : base.endsWith('\n') ? base : `${base}\n`, ...added].join('')
  return { files: { hosts, resolvConf: read('/etc/resolv.conf') ?? '' }, hostHostname: own }
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
