import { layout, pathOf, placeOf } from '#store/layout.ts'
import { closeSync, constants, openSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { findUserMode, outwardAddress, readHostFacts } from '#network/host.ts'
import { bridgeConnection, userModeConnection, type Connection, type Membership, type NetworkWishes } from '#network/request.ts'
import type { RunRequest, RunSpec } from '#runner/protocol.ts'
import { findNetwork, leasesOf, takeLease } from '#store/networks.ts'
import type { LocalStore } from '#store/open.ts'
import { makePrivateDirectory } from '#store/private.ts'
import { findContainer, refresh, type ContainerRecord } from './container.ts'
import { isRoot, type ConnectedNetwork, type ContainerNetwork } from './network.ts'
import { ensureShared } from './shared.ts'
import { readStatus } from './status.ts'

/** How the runner is to start it. */
export interface PreparedNetwork extends Disposable {
  readonly namespaces: Pick<RunSpec['namespaces'], 'network' | 'networkPath'>
  readonly network?: NonNullable<RunRequest['network']>
  /** In place of what the record has. */
  readonly files: ReadonlyMap<string, string>
  /** The user namespace that owns the network namespace, if that is not the runner's own. */
  readonly userns?: number
}

/**
 * Makes everything ready for the container's start: takes addresses, opens namespaces.
 *
 * @throws StaveError `isolation` where this machine cannot do it; `conflict`; `container-state` if the container whose
 *   network it shares does not run
 */
export async function prepareNetwork(cx: Context, store: LocalStore, container: ContainerRecord): Promise<PreparedNetwork> {
  const { network } = container
  const none = { files: new Map<string, string>(), [Symbol.dispose]() {} }
  if (network === undefined) return { namespaces: { network: container.spec.namespaces.network }, ...none }
  switch (network.mode) {
    case 'host':
    case 'none':
      return { namespaces: { network: network.mode }, ...none }
    case 'path':
      return joined(openNamespace(network.target ?? ''), undefined, new Map())
    case 'container':
      return shareWith(store, container, network.target ?? '')
    case 'private':
    case 'networks': {
      const { network: request, ...texts } = connectionOf(store, container, network, true)
      makePrivateDirectory(pathOf(store, layout.networks))
      const shared = network.mode === 'networks' && !isRoot() ? await ensureShared(cx, store) : undefined
      return {
        namespaces: { network: 'private' },
        network: {
          ...request,
          state: placeOf(store, layout.networks),
          ...(shared !== undefined && { outside: { fd: shared.namespace } }),
        },
        files: filesOf(texts),
        ...(shared !== undefined && { userns: shared.userns }),
        [Symbol.dispose]() {
          shared?.[Symbol.dispose]()
        },
      }
    }
    default:
      return network.mode satisfies never
  }
}

/** @param takes Take addresses; else those of the last time count. */
function connectionOf(store: LocalStore, container: ContainerRecord, network: ContainerNetwork, takes: boolean): Connection {
  const hostname = container.spec.hostname ?? container.id.slice(0, 12)
  const wishes: NetworkWishes = {
    ports: network.ports,
    names: [...(network.domainname === undefined ? [] : [`${hostname}.${network.domainname}`]), hostname, container.name],
    addHosts: network.addHosts,
    resolver: network.resolver,
  }
  const { resolvConf } = readHostFacts()
  if (network.mode === 'private')
    return userModeConnection(findUserMode(network.program), outwardAddress(networkInterfaces()), wishes, resolvConf)
  const members = (network.networks ?? []).map((place) => membership(store, container, place, takes))
  // A user's bridges are not this machine's: it is beyond them.
  const host = isRoot() ? undefined : outwardAddress(networkInterfaces())
  return bridgeConnection(container, members, wishes, resolvConf, host)
}

/** A container's place on a network, its addresses taken if they are to be. */
export function membership(store: LocalStore, container: ContainerRecord, place: ConnectedNetwork, takes: boolean): Membership {
  const found = findNetwork(store.database, place.id)
  if (!takes) return { network: found, place, lease: leasesOf(store.database, container.id).get(found.id) ?? { mac: '' } }
  const lives = (id: string) => ['running', 'paused'].includes(readStatus(store, { id }).state)
  return { place, ...takeLease(store.database, found, container.id, place, lives) }
}

function filesOf({ hosts, resolvConf }: Pick<Connection, 'hosts' | 'resolvConf'>): ReadonlyMap<string, string> {
  return new Map([
    ['/etc/hosts', hosts],
    ['/etc/resolv.conf', resolvConf],
  ])
}

function shareWith(store: LocalStore, container: ContainerRecord, id: string): PreparedNetwork {
  const other = refresh(store, findContainer(store, id))
  const { pid, state } = other.status
  if (pid === undefined || state === 'exited' || state === 'created') {
    throw new StaveError(
      'container-state',
      `cannot share the network of ${other.name} with ${container.name}: ${other.name} does not run`,
      {
        hint: `Start it first: stave start ${other.name}`,
      },
    )
  }
  const shared = other.network
  const files = shared?.mode === 'private' || shared?.mode === 'networks' ? filesOf(connectionOf(store, other, shared, false)) : new Map()
  const namespace = openNamespace(`/proc/${pid}/ns/net`)
  return joined(namespace, isRoot() ? undefined : openNamespace(`/proc/${pid}/ns/user`), files)
}

function joined(fd: number, userns: number | undefined, files: ReadonlyMap<string, string>): PreparedNetwork {
  return {
    namespaces: { network: 'join', networkPath: { fd } },
    files,
    ...(userns !== undefined && { userns }),
    [Symbol.dispose]() {
      closeSync(fd)
      if (userns !== undefined) closeSync(userns)
    },
  }
}

function openNamespace(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY)
  } catch (cause) {
    throw new StaveError('isolation', `cannot open the namespace ${path}`, { cause, exitCode: 125 })
  }
}
