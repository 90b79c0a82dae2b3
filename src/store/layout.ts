import { join } from 'node:path'
import { digestAlgorithm, digestHex, type Digest } from '#oci/digest.ts'
import type { Place } from '#runner/protocol.ts'

/**
 * Where everything in a store lies, below its root. Nobody else writes such a path down: what works with files of the
 * store names them by this table, and comes to them with {@link pathOf} or, for the runner, {@link placeOf}.
 */
export const layout = {
  database: 'stave.db',

  blobs: 'blobs',
  blobsOf: (algorithm: string) => `blobs/${algorithm}`,
  blob: (digest: Digest) => `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`,
  /** Files that are being written; their names say by whom. */
  temporary: 'tmp',

  snapshots: 'snapshots',
  snapshot: (id: string) => `snapshots/${id}`,
  /** The unpacked tree, or the index of {@link snapshotTar} in its place. */
  snapshotTree: (id: string) => `snapshots/${id}/fs`,
  snapshotTar: (id: string) => `snapshots/${id}/tar`,
  /** Overlay's own directory beside a tree that is being written. */
  snapshotWork: (id: string) => `snapshots/${id}/work`,

  containers: 'containers',
  container: (id: string) => `containers/${id}`,
  /** What a container has written: the upper directory of its overlay. */
  containerTree: (id: string) => `containers/${id}/fs`,
  containerWork: (id: string) => `containers/${id}/work`,
  /** What it has said. */
  containerLog: (id: string) => `containers/${id}/log`,
  /** What its monitor says of it. */
  containerState: (id: string) => `containers/${id}/state.json`,
  /** What its health checks say. */
  containerHealth: (id: string) => `containers/${id}/health.json`,
  /** The process beside its monitor that checks its health and starts it again. */
  containerGuard: (id: string) => `containers/${id}/guard.json`,

  /** What compose files say of configs and secrets in themselves, a directory for each project. */
  projects: 'projects',
  project: (name: string) => `projects/${name}`,
  projectFile: (name: string, file: string) => `projects/${name}/${encodeURIComponent(file)}`,

  volumes: 'volumes',
  volume: (name: string) => `volumes/${name}`,
  /** The files of a volume, in a directory as Docker calls it: a name that no mount point is likely to have. */
  volumeFiles: (name: string) => `volumes/${name}/${volumeFilesName}`,

  /** A directory for each network, with an entry for each container that is on it. */
  networks: 'networks',
  network: (id: string) => `networks/${id}`,
  /** The process that keeps the network namespace of an ordinary user's containers. */
  networkKeeper: 'networks/keeper.json',

  cache: 'cache',
  /** The directories of cache mounts, each under the digest of what it is for. */
  cacheMounts: 'cache/mounts',
  cacheMount: (name: string) => `cache/mounts/${name}`,
  /** Fetched repositories, each under the digest of its URL. */
  repositories: 'cache/git',
  repository: (hex: string) => `cache/git/${hex}`,
  knownHosts: 'cache/git/known_hosts',
  /** What servers said of downloads, each under the digest of the URL. */
  downloads: 'cache/http',
  download: (hex: string) => `cache/http/${hex}.json`,
  /** Digests of files that have not changed since. */
  statCache: 'cache/stat',
  /** What was in what a COPY has taken, each under its digest. */
  listings: 'cache/listings',
  listingsOf: (algorithm: string) => `cache/listings/${algorithm}`,
  listing: (digest: Digest) => `cache/listings/${digestAlgorithm(digest)}/${digestHex(digest)}`,
  /** Locks of the steps that are being made. */
  running: (key: string) => `cache/running/${key}`,
  /** For each project a link that names its last build. */
  lastBuilds: 'cache/last',
  lastBuild: (hex: string) => `cache/last/${hex}`,

  /** What `stave serve` serves, unless another directory is named. */
  registry: 'registry',

  /** A directory for each build: the output of its steps, and its record. */
  builds: 'logs',
  build: (id: string) => `logs/${id}`,
  buildRecord: (id: string) => `logs/${id}/build.json`,
} as const

export const volumeFilesName = '_data'

/** The path on this machine of what lies at `relative` in a store. */
export function pathOf(store: { readonly root: string }, relative: string): string {
  return join(store.root, relative)
}

/** What lies at `relative` in a store, as the runner is told. */
export function placeOf(store: { readonly directory: number }, relative: string): Place & { readonly path: string } {
  return { fd: store.directory, path: relative }
}
