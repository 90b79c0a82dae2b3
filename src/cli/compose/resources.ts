import type { FileObject, Network, Project } from '#compose/model.ts'
import type { LocalStore } from '#store/open.ts'
import type { Context } from '#context.ts'
import { createVolume, getVolume, isVolumeUsed, listVolumes, removeVolume } from '#container/volume.ts'
import { networkUsers, removeNetwork } from '#container/networks.ts'
import { StaveError } from '#error.ts'
import { createNetwork, findNetwork, getNetwork, listNetworks } from '#store/networks.ts'
import { removeProjectFiles, writeProjectFile } from '#store/project-files.ts'
import { label } from './project.ts'

/** Makes the networks that services use and that are not there. @throws StaveError `not-found` for external ones */
export function ensureNetworks(store: LocalStore, project: Project, say: (text: string) => void): void {
  const used = new Set(Object.values(project.services).flatMap(({ networks }) => Object.keys(networks ?? {})))
  for (const key of used) {
    const network = project.networks[key] as Network
    const name = network.name as string
    if (network.external === true) {
      findNetwork(store.database, name)
      continue
    }
    const there = getNetwork(store.database, name)
    if (there !== undefined) {
      const owner = there.labels[label.project]
      if (owner !== undefined && owner !== project.name) throw notOurs('network', name, owner)
      continue
    }
    createNetwork(store.database, {
      name,
      ...(network.driver !== undefined && { driver: network.driver }),
      subnets: present(network.ipam?.config?.map(({ subnet }) => subnet)),
      gateways: present(network.ipam?.config?.map(({ gateway }) => gateway)),
      ranges: present(network.ipam?.config?.map(({ ip_range: range }) => range)),
      internal: network.internal ?? false,
      ipv6: network.enable_ipv6 ?? false,
      noNames: false,
      labels: { ...network.labels, [label.project]: project.name, [label.network]: key },
      options: { ...network.driver_opts },
    })
    say(`network ${name} created`)
  }
}

function present(texts: readonly (string | undefined)[] = []): string[] {
  return texts.filter((text) => text !== undefined)
}

function notOurs(kind: string, name: string, owner: string): StaveError {
  return new StaveError('conflict', `cannot use the ${kind} ${name}: it belongs to the project ${owner}`, {
    hint: `Say external: true to use it nevertheless, or give it another name.`,
  })
}

/** Makes the named volumes that services use and that are not there. */
export function ensureVolumes(store: LocalStore, project: Project, say: (text: string) => void): void {
  const used = new Set(
    Object.values(project.services).flatMap(({ volumes }) =>
      (volumes ?? []).flatMap(({ type, source }) => (type === 'volume' && source !== undefined ? [source] : [])),
    ),
  )
  for (const key of used) {
    const volume = project.volumes[key]!
    const name = volume.name as string
    const there = getVolume(store, name)
    if (volume.external === true && there === undefined) {
      throw new StaveError('not-found', `cannot find the volume ${name}, which the project uses as external`, {
        hint: `Make it: stave volume create ${name}`,
      })
    }
    if (there !== undefined) {
      const owner = there.labels[label.project]
      if (volume.external !== true && owner !== undefined && owner !== project.name) throw notOurs('volume', name, owner)
      continue
    }
    if (volume.driver !== undefined && volume.driver !== 'local')
      throw new StaveError('unsupported', `cannot make the volume ${name}: there is no driver ${volume.driver}`)
    createVolume(store, { name, labels: { ...volume.labels, [label.project]: project.name, [label.volume]: key } })
    say(`volume ${name} created`)
  }
}

/** Where the content of a config or secret is: its own file, or one of the store for what the project itself says. */
export function fileOf(
  store: LocalStore,
  project: string,
  env: Readonly<Record<string, string | undefined>>,
): (object: FileObject, kind: 'config' | 'secret', key: string) => string {
  return (object, kind, key) => {
    if (object.file !== undefined) return object.file
    if (object.external === true) {
      throw new StaveError('unsupported', `cannot use the ${kind} ${key}: stave keeps none outside of projects`, {
        hint: 'Say file: PATH.',
      })
    }
    if (object.content !== undefined) return writeProjectFile(store, project, `${kind}-${key}`, object.content)
    const value = object.environment === undefined ? undefined : env[object.environment]
    if (value === undefined) {
      const why = object.environment === undefined ? 'it has neither a file nor content' : `the variable ${object.environment} is not set`
      throw new StaveError('secret-missing', `cannot use the ${kind} ${key}: ${why}`)
    }
    return writeProjectFile(store, project, `${kind}-${key}`, value)
  }
}

/** Removes what was made for a project and nobody uses. */
export async function removeResources(
  cx: Context,
  store: LocalStore,
  project: string,
  options: { readonly volumes: boolean },
  say: (text: string) => void,
): Promise<void> {
  const users = networkUsers(store)
  for (const network of listNetworks(store.database)) {
    if (network.labels[label.project] !== project) continue
    const left = users.get(network.id) ?? []
    if (left.length > 0) {
      say(`network ${network.name} stays: ${left.map(({ name }) => name).join(', ')} ${left.length === 1 ? 'is' : 'are'} on it`)
      continue
    }
    await removeNetwork(cx, store, network)
    say(`network ${network.name} removed`)
  }
  removeProjectFiles(store, project)
  if (!options.volumes) return
  for (const { name, labels } of listVolumes(store)) {
    if (labels[label.project] !== project) continue
    if (isVolumeUsed(store, name)) {
      say(`volume ${name} stays: it is in use`)
      continue
    }
    await removeVolume(cx, store, name)
    say(`volume ${name} removed`)
  }
}
