import { layout, pathOf, placeOf } from '#store/layout.ts'
import { chmodSync, mkdirSync, readFileSync, rmSync, rmdirSync, statSync } from 'node:fs'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { openImage, type Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import { hostPlatform } from '#oci/platform.ts'
import { parseExposed, publishAll } from '#network/port.ts'
import { checkProcessor } from '#sandbox/processor.ts'
import type { LocalStore } from '#store/open.ts'
import { isAlive, self } from '#store/owner.ts'
import { makePrivateDirectory } from '#store/private.ts'
import { randomHex } from '#store/random.ts'
import type { Snapshot } from '#store/store.ts'
import type { Container, ContainerRecord, LogSettings } from './record.ts'
import { killContainer } from './control.ts'
import { removeGroups } from './lost.ts'
import { endGuard } from './guard.ts'
import { healthCheck, type HealthOptions } from './health.ts'
import type { ImageMount } from './mount.ts'
import { checkName, generateName } from './name.ts'
import { settleNetwork, sharedFiles, type ContainerNetwork, type NetworkSettings } from './network.ts'
import type { RestartPolicy } from './restart.ts'
import { containerSpec, type ContainerOptions, type SpecMount } from './spec.ts'
import { isUp, readState, readStatus } from './status.ts'
import { sweepNetworks } from './sweep.ts'
import { createVolume, fillVolume, getVolume, isVolumeUsed, removeVolume } from './volume.ts'

export type { Container, ContainerRecord } from './record.ts'

export interface CreateOptions extends Omit<ContainerOptions, 'network' | 'files' | 'hostHostname' | 'domainname'> {
  /** Default: a private one. */
  readonly network?: NetworkSettings
  /** Publish every exposed port that is not published. */
  readonly publishAll?: boolean
  /** Ports besides those that the image exposes, as `80/tcp`. */
  readonly exposed?: readonly string[]
  readonly name?: string
  /** Remove it, and its anonymous volumes, when it has ended. */
  readonly autoRemove?: boolean
  readonly restart?: RestartPolicy
  /** What is said over the image's health check. */
  readonly health?: HealthOptions
  readonly pidFile?: string
  /** The program of the OCI runtime that makes it. Default: Stave's own. */
  readonly runtime?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly logSettings?: LogSettings
  /** Containers whose namespaces it shares, by kind: `pid`, `ipc`, `uts`. */
  readonly joins?: Readonly<Record<string, string>>
  readonly cgroupParent?: string
  /** Keep what it writes. Default: yes, unless it removes itself and runs in the foreground. */
  readonly log?: boolean
}

const defaultStopTimeout = 10

/**
 * Makes a container of an image that is in the store: its record, its directory, its volumes. It is not started.
 *
 * @param imageName What the user called the image.
 * @throws StaveError `conflict` if the name is taken; `isolation` if this processor cannot run it
 */
export async function createContainer(
  cx: Context,
  store: LocalStore,
  image: Image,
  imageName: string,
  options: CreateOptions,
): Promise<Container> {
  const id = randomHex(32)
  const { config, ...platform } = await image.config(cx)
  checkProcessor(imageName, platform, () => readFileSync('/proc/cpuinfo', 'utf8'))
  await reapContainers(cx, store)
  // Everything that a user can have got wrong is found here, before anything is made.
  const health = healthCheck(config?.Healthcheck, options.health ?? {})
  if (options.restart !== undefined && options.autoRemove === true)
    throw new StaveError('usage', '--restart and --rm exclude each other: what is removed cannot be started again')
  const { network: wanted = { choice: { mode: 'private' } }, ...others } = options
  const exposedPorts = parseExposed([...Object.keys(config?.ExposedPorts ?? {}), ...(options.exposed ?? [])])
  const ports = options.publishAll === true ? publishAll(exposedPorts, wanted.ports ?? []) : wanted.ports
  const settings = { ...wanted, ...(ports !== undefined && { ports }) }
  const network = settleNetwork(store, settings, (other) => findContainer(store, other))
  const joins = settleJoins(store, options.joins)
  const described = containerSpec(config, { ...others, ...namesOf(settings, network) }, id)
  // Its name is that of the machine, or of the container, whose namespace it is in.
  const { hostname: _, ...nameless } = described
  const spec = joins['uts'] === undefined ? described : nameless
  const name = options.name === undefined ? generateName((taken) => byName(store, taken) !== undefined) : checkName(options.name)
  if (options.name !== undefined) refuseTaken(store, name)
  const snapshots = (await store.snapshots.ensure(cx, image)).toReversed()

  makeDirectories(store, id, snapshots[0]?.id)
  const made: string[] = []
  try {
    const mounts = await settleMounts(cx, store, spec.mounts, snapshots, made)
    const record: ContainerRecord = {
      id,
      name,
      image: imageName,
      imageId: image.manifest.config.digest,
      manifest: image.descriptor,
      createdAt: new Date().toISOString(),
      spec: { ...spec, mounts },
      snapshots: snapshots.map((snapshot) => snapshot.id),
      labels: { ...config?.Labels, ...options.labels },
      autoRemove: options.autoRemove ?? false,
      readonly: options.readonly ?? false,
      ...kept(options),
      stopTimeout: options.stopTimeout ?? config?.StopTimeout ?? defaultStopTimeout,
      ...(health !== undefined && { health, ...(config?.Shell !== undefined && { shell: config.Shell }) }),
      ...parts(config, options),
      exposedPorts,
      network,
      ...(Object.keys(joins).length > 0 && { joins }),
      anonymousVolumes: made,
      creator: self(),
    }
    insertRecord(store, record)
    return { ...record, status: { state: 'created' } }
  } catch (error) {
    for (const volume of made) await removeVolume(cx, store, volume)
    rmSync(pathOf(store, layout.container(id)), { recursive: true, force: true })
    throw error
  }
}

/**
 * The mounts as they are kept: volumes that are there and filled, images with what they are.
 *
 * @param snapshots Of the container's image, the topmost first: what a new volume is filled from.
 * @param made Gets the names of the anonymous volumes, each as soon as it is there.
 */
async function settleMounts(
  cx: Context,
  store: LocalStore,
  wanted: readonly SpecMount[],
  snapshots: readonly Snapshot[],
  made: string[],
): Promise<SpecMount[]> {
  const mounts: SpecMount[] = []
  const places = snapshots.map((snapshot) => snapshot.place)
  for (const mount of wanted) {
    if (mount.type !== 'volume') {
      mounts.push(mount.type === 'image' ? await withManifest(cx, store, mount) : mount)
      continue
    }
    const volume = createVolume(store, mount.name === undefined ? {} : { name: mount.name })
    if (mount.name === undefined) made.push(volume.name)
    if (mount.nocopy !== true) await fillVolume(cx, store, volume.name, places, mount.target)
    mounts.push({ ...mount, name: volume.name })
  }
  return mounts
}

/** @throws StaveError `conflict` if its name was taken in the meantime */
function insertRecord(store: LocalStore, record: ContainerRecord): void {
  const { id, name } = record
  store.database.transaction(() => {
    refuseTaken(store, name)
    store.database.run(
      'INSERT INTO container (id, name, record, created) VALUES (?, ?, ?, ?)',
      id,
      name,
      JSON.stringify(record),
      Date.now(),
    )
  })
}

/** @throws StaveError `not-found` for an image that is not in the store */
async function withManifest(cx: Context, store: LocalStore, mount: ImageMount): Promise<ImageMount> {
  const image = await openImage(cx, store, await store.resolve(cx, mount.image), hostPlatform(process.arch))
  return { ...mount, manifest: image.descriptor }
}

/** What a container is called, and the names that it knows: with a network of its own, as they are when it starts. */
function namesOf(
  settings: NetworkSettings,
  { mode }: ContainerNetwork,
): Required<Pick<ContainerOptions, 'network' | 'files' | 'hostHostname'>> & Pick<ContainerOptions, 'domainname'> {
  const { hostname, ...files } = sharedFiles(settings)
  const network = mode === 'host' || mode === 'none' ? mode : mode === 'container' || mode === 'path' ? 'join' : 'private'
  const { domainname } = settings
  return { network, files, hostHostname: hostname, ...(domainname !== undefined && { domainname }) }
}

/** What is kept of the options as it is. */
function kept(options: CreateOptions): Partial<ContainerRecord> {
  const { log, logSettings = {}, timeout, restart, pidFile, runtime, annotations, cgroupParent } = options
  return {
    ...(log === false && { log }),
    ...(Object.keys(logSettings).length > 0 && { logSettings }),
    ...(timeout !== undefined && { timeout }),
    ...(restart !== undefined && { restart }),
    ...(pidFile !== undefined && { pidFile }),
    ...(runtime !== undefined && { runtime }),
    ...(annotations !== undefined && { annotations }),
    ...(cgroupParent !== undefined && { cgroupParent }),
  }
}

/** Names become ids. A namespace that is another's is not made, nor named. @throws StaveError `not-found` */
function settleJoins(store: LocalStore, joins: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(joins).map(([kind, name]) => [kind, findContainer(store, name).id]))
}

function parts(
  config: ExecutionConfig | undefined,
  options: Pick<ContainerOptions, 'command' | 'entrypoint'>,
): Pick<ContainerRecord, 'entrypoint' | 'command'> {
  const command = options.command ?? []
  const inherits = command.length === 0 && options.entrypoint === undefined
  return { entrypoint: options.entrypoint ?? config?.Entrypoint ?? [], command: inherits ? (config?.Cmd ?? []) : command }
}

/** The overlay's upper directory is the container's `/`: it takes its mode from the image's topmost one. */
function makeDirectories(store: LocalStore, id: string, top: string | undefined): void {
  const tree = pathOf(store, layout.containerTree(id))
  makePrivateDirectory(pathOf(store, layout.container(id)))
  mkdirSync(tree)
  mkdirSync(pathOf(store, layout.containerWork(id)))
  const mode = top === undefined ? 0o755 : statSync(pathOf(store, layout.snapshotTree(top))).mode & 0o7777
  if ((statSync(tree).mode & 0o7777) !== mode) chmodSync(tree, mode)
}

function byName(store: LocalStore, name: string): string | undefined {
  const row = store.database.get('SELECT id FROM container WHERE name = ?', name)
  return row === undefined ? undefined : String(row['id'])
}

function refuseTaken(store: LocalStore, name: string): void {
  const other = byName(store, name)
  if (other === undefined) return
  throw new StaveError('conflict', `cannot name a container ${name}: container ${other.slice(0, 12)} has that name`, {
    exitCode: 125,
    hint: `Remove it (stave rm ${name}), rename it, or choose another name.`,
  })
}

/**
 * Finds a container by its name, its id, or the beginning of its id.
 *
 * @throws StaveError `not-found`
 */
export function findContainer(store: LocalStore, text: string): Container {
  const { database } = store
  const exact = database.get('SELECT record FROM container WHERE name = ?1 OR id = ?1', text)
  if (exact !== undefined) return withStatus(store, exact)
  const rows = /^[0-9a-f]{1,64}$/.test(text)
    ? database.all('SELECT record FROM container WHERE id >= ? AND id < ? LIMIT 2', text, `${text}g`)
    : []
  if (rows.length === 1) return withStatus(store, rows[0]!)
  if (rows.length > 1)
    throw new StaveError('not-found', `cannot choose a container: several ids begin with ${text}`, { hint: 'Give more digits.' })
  throw new StaveError('not-found', `cannot find the container ${text}`, { hint: 'stave ps --all lists them.' })
}

/** All containers, newest first. Those that should have removed themselves are not shown, whether or not they are gone yet. */
export function listContainers(store: LocalStore): Container[] {
  const rows = store.database.all('SELECT record FROM container ORDER BY created DESC, id')
  return rows.map((row) => withStatus(store, row)).filter((container) => !isOverdue(container))
}

/**
 * Removes the containers with `autoRemove` that have ended: nobody is there who could do it at the end of a detached
 * one, so whoever comes next does it.
 */
export async function reapContainers(cx: Context, store: LocalStore): Promise<void> {
  await sweepNetworks(cx, store)
  const rows = store.database.all("SELECT record FROM container WHERE json_extract(record, '$.autoRemove') = 1")
  for (const row of rows) {
    const container = withStatus(store, row)
    if (isOverdue(container)) await removeContainer(cx, store, container, { volumes: true })
  }
}

function isOverdue(container: Container): boolean {
  const { state } = container.status
  return container.autoRemove && (state === 'exited' || state === 'created') && !isAlive(container.creator)
}

function withStatus(store: LocalStore, row: Record<string, string | number | null>): Container {
  const record = JSON.parse(String(row['record'])) as ContainerRecord
  return { ...record, status: readStatus(store, record) }
}

/** The container as it is now. */
export function refresh(store: LocalStore, container: ContainerRecord): Container {
  const row = store.database.get('SELECT record FROM container WHERE id = ?', container.id)
  if (row === undefined) throw new StaveError('not-found', `cannot find the container ${container.name}: it was removed`)
  return withStatus(store, row)
}

/** Changes fields of the record. */
export function updateContainer(store: LocalStore, container: ContainerRecord, change: Partial<ContainerRecord>): void {
  store.database.transaction(() => {
    const row = store.database.get('SELECT record FROM container WHERE id = ?', container.id)
    if (row === undefined) return
    const record: ContainerRecord = { ...(JSON.parse(String(row['record'])) as ContainerRecord), ...change }
    store.database.run('UPDATE container SET name = ?, record = ? WHERE id = ?', record.name, JSON.stringify(record), record.id)
  })
}

/** @throws StaveError `conflict` */
export function renameContainer(store: LocalStore, container: ContainerRecord, name: string): void {
  checkName(name)
  store.database.transaction(() => {
    refuseTaken(store, name)
    updateContainer(store, container, { name })
  })
}

export interface RemoveOptions {
  /** Kill it first if it runs. */
  readonly force?: boolean
  /** Its anonymous volumes too. */
  readonly volumes?: boolean
}

/**
 * Removes a container and what it wrote. The record goes last: what is interrupted can be repeated.
 *
 * @throws StaveError `container-state` if it runs
 */
export async function removeContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: RemoveOptions = {},
): Promise<void> {
  const status = readStatus(store, container)
  if (isUp(status)) {
    if (options.force !== true) {
      throw new StaveError('container-state', `cannot remove the container ${container.name}: it is ${status.state}`, {
        hint: 'Stop it first (stave stop), or use --force.',
      })
    }
    endGuard(store, container.id)
    await killContainer(cx, store, container, 'KILL', { wait: true })
  }
  const directory = layout.container(container.id)
  removeGroups(readState(store, container.id)?.cgroup)
  await removeTrees(cx, store, directory)
  rmSync(pathOf(store, directory), { recursive: true, force: true })
  store.database.run('DELETE FROM container WHERE id = ?', container.id)
  if (options.volumes !== true && !container.autoRemove) return
  const mounted = container.spec.mounts.flatMap((mount) => (mount.type === 'volume' && mount.name !== undefined ? [mount.name] : []))
  for (const volume of new Set([...container.anonymousVolumes, ...mounted])) {
    // With --volumes-from several have one: the last takes it along.
    if (getVolume(store, volume)?.anonymous === true && !isVolumeUsed(store, volume)) await removeVolume(cx, store, volume)
  }
}

/** A container that wrote nothing has empty directories, and those need no job of the runner. */
async function removeTrees(cx: Context, store: LocalStore, directory: string): Promise<void> {
  const left: string[] = []
  for (const name of ['work/work', 'work', 'fs']) {
    try {
      rmdirSync(pathOf(store, `${directory}/${name}`))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && name !== 'work/work') left.push(name)
    }
  }
  if (left.length === 0) return
  await store.runner.remove(cx, { trees: left.map((name) => placeOf(store, `${directory}/${name}`)) })
}
