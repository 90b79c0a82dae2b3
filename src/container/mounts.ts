import { accessSync, closeSync, constants, openSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Context } from '#context.ts'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import type { Place, RunMount } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import type { BindMount, ImageMount, MountWishes, VolumeMount } from './mount.ts'
import type { SpecMount } from './spec.ts'
import { volumePlace } from './volume.ts'

/** The mounts of a container, as the runner takes them: what they need is open. */
export interface OpenMounts extends Disposable {
  readonly mounts: readonly RunMount[]
}

/** Opens without access to the content: enough to mount it, and possible for what may be entered but not listed. */
const O_PATH = 0o10000000

/**
 * Opens what a container mounts.
 *
 * @param files Contents that are as they are now, by target.
 * @throws StaveError `container-start` for what cannot be mounted
 */
export async function openMounts(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  files: ReadonlyMap<string, string>,
): Promise<OpenMounts> {
  const opened: number[] = []
  const close = () => opened.splice(0).forEach((fd) => closeSync(fd))
  try {
    const mounts: RunMount[] = []
    for (const mount of container.spec.mounts) mounts.push(await openMount(cx, store, container, current(mount, files), opened))
    return { mounts, [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw error
  }
}

/** Names are as they are now, unless the user has mounted files of his own in their place. */
function current(mount: SpecMount, files: ReadonlyMap<string, string>): SpecMount {
  const text = mount.type === 'content' ? files.get(mount.target) : undefined
  return text === undefined ? mount : ({ ...mount, base64: Buffer.from(text).toString('base64') } as SpecMount)
}

async function openMount(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  mount: SpecMount,
  opened: number[],
): Promise<RunMount> {
  switch (mount.type) {
    case 'content':
    case 'tmpfs':
      return mount
    case 'volume':
      return sourceMount(mount, volumeSource(store, mount))
    case 'bind': {
      const { propagation, recursive } = mount
      const { source, isFile } = openSource(container, mount, opened)
      const made = sourceMount(mount, source)
      if (made.type !== 'bind') return made
      return { ...made, ...(propagation !== undefined && { propagation }), ...(recursive && { recursive }), ...(isFile && { file: true }) }
    }
    case 'image':
      return { type: 'tree', ...(await imageSource(cx, store, mount)), target: mount.target, readonly: mount.readonly }
    default:
      return mount satisfies never
  }
}

/** A directory of this machine: itself, or something above it that takes what is written. */
function sourceMount(
  { target, readonly, own, overlay, attributes }: MountWishes & Pick<VolumeMount, 'target' | 'readonly'>,
  source: Place,
): RunMount {
  if (overlay) return { type: 'tree', from: { kind: 'directory', root: source }, path: '.', target, ...(readonly && { readonly }) }
  return {
    type: 'bind',
    source,
    target,
    ...(readonly && { readonly }),
    ...(own && { own }),
    ...(attributes !== undefined && { attributes }),
  }
}

function volumeSource(store: LocalStore, { name, target, subpath }: VolumeMount): Place {
  if (name === undefined) throw new TypeError(`the volume on ${target} was never made`)
  const place = volumePlace(store, name)
  return subpath === undefined ? place : { ...place, path: `${place.path}/${subpath}` }
}

async function imageSource(cx: Context, store: LocalStore, { manifest, subpath = '.' }: ImageMount) {
  if (manifest === undefined) throw new TypeError('the image that is mounted was never looked up')
  const snapshots = await store.snapshots.ensure(cx, await openImage(cx, store, manifest))
  return { from: { kind: 'lowers' as const, lowers: snapshots.toReversed().map(({ place }) => place) }, path: subpath }
}

/** A directory is handed over open; a file (a socket, a device) as a name in its open directory, so that it can be found again in another mount namespace. */
function openSource(container: ContainerRecord, mount: BindMount, opened: number[]): { source: Place; isFile: boolean } {
  try {
    const path = realSource(mount)
    const isFile = !statSync(path).isDirectory()
    // Here it can be said which one may not be entered; the runner would fail in the middle of its mounts.
    if (!isFile) accessSync(path, constants.X_OK)
    const fd = openSync(isFile ? dirname(path) : path, O_PATH | constants.O_DIRECTORY)
    opened.push(fd)
    return { source: isFile ? { fd, path: basename(path) } : { fd }, isFile }
  } catch (error) {
    throw mountProblem(container, mount.source, error)
  }
}

/** Without symbolic links: the runner follows none. */
function realSource({ source, create }: BindMount): string {
  try {
    return realpathSync(source)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || create !== true) throw error
  }
  makeDirectories(source)
  return realpathSync(source)
}

function mountProblem(container: ContainerRecord, source: string, cause: unknown): StaveError {
  return new StaveError('container-start', `cannot start the container ${container.name}: ${source} cannot be mounted`, {
    cause,
    exitCode: 125,
    ...(['EACCES', 'EPERM'].includes(String((cause as NodeJS.ErrnoException).code)) && {
      hint: 'Only what this user may enter can be mounted.',
    }),
  })
}
