import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { hostsText, resolverText, type AddedHost, type Resolver } from '#sandbox/names.ts'
import type { ContainerOptions } from './spec.ts'

const maxBytes = 1024 * 1024

/**
 * What a container gets of this machine: names and resolvers. With the host's network, the host's own files hold (also a
 * resolver on 127.0.0.53, which it can reach there); without a network, only its own name can be resolved.
 */
export function hostFiles(
  network: 'host' | 'none',
  options: Resolver & { readonly addHosts?: readonly AddedHost[] } = {},
): Required<Pick<ContainerOptions, 'files' | 'hostHostname'>> {
  const isHosts = network === 'host'
  const hosts = hostsText(isHosts ? read('/etc/hosts') : undefined, options.addHosts)
  const resolvConf = resolverText(isHosts ? read('/etc/resolv.conf') : undefined, options)
  return { files: { hosts, resolvConf }, hostHostname: hostname() }
}

function read(path: string): string | undefined {
  try {
    const bytes = readFileSync(path)
    return bytes.length > maxBytes ? undefined : bytes.toString()
  } catch {
    // A machine without the file: the container then has one with the minimum.
    return undefined
  }
}
