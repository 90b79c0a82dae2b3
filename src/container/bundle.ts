import { chmodSync, closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Image } from '#image/image.ts'
import type { LocalStore } from '#store/open.ts'
import { randomHex } from '#store/random.ts'
import { containerSpec, type ContainerOptions } from './spec.ts'

/** An ordinary user by both ids, who gets a bundle with a user namespace of that one id. */
export interface BundleOwner {
  readonly uid: number
  readonly gid: number
}

/**
 * Writes an image as a bundle of the runtime specification: its files as `rootfs`, and `config.json`. It comes into place
 * whole, or not at all.
 *
 * @param directory Must not be there; its parent must.
 * @param owner Absent for root.
 * @throws StaveError `conflict` if something is there, `io`, `container-start` if neither image nor options name a command
 */
export async function writeBundle(
  cx: Context,
  store: LocalStore,
  image: Image,
  directory: string,
  options: Omit<ContainerOptions, 'mounts' | 'files' | 'network'>,
  owner?: BundleOwner,
): Promise<void> {
  const scratch = beside(directory)
  try {
    const { config } = await image.config(cx)
    const spec = containerSpec(config, { ...options, network: 'none' }, randomHex(32))
    const lowers = (await store.snapshots.ensure(cx, image)).toReversed().map((snapshot) => snapshot.place)
    const root = join(scratch, 'rootfs')
    mkdirSync(root, { mode: 0o755 })
    const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      const items = [{ kind: 'select' as const, selection: { from: { kind: 'lowers' as const, lowers }, sources: ['.'] } }]
      await store.runner.copy(cx, { base: [], items, to: '/', plain: { fd }, ...(owner !== undefined && { chown: '0:0' }) })
      const { config: written } = await store.runner.bundle(cx, {
        root: { fd },
        // An anonymous volume is the container's own here: a directory of its root.
        spec: { ...spec, mounts: [] },
        ...(options.readonly && { readonly: true }),
        ...(owner !== undefined && { owner }),
      })
      writeFileSync(join(scratch, 'config.json'), `${JSON.stringify(written, undefined, 2)}\n`)
    } finally {
      closeSync(fd)
    }
    chmodSync(scratch, 0o755)
    renameSync(scratch, directory)
  } catch (error) {
    await discard(cx, store, scratch)
    throw error
  }
}

/** A directory that is renamed into place when it is whole. */
function beside(directory: string): string {
  if (existsSync(directory)) throw new StaveError('conflict', `cannot make a bundle at ${directory}: something is there already`)
  try {
    return mkdtempSync(join(dirname(directory), '.stave-bundle-'))
  } catch (cause) {
    throw new StaveError('io', `cannot make a bundle at ${directory}: nothing can be written in ${dirname(directory)}`, { cause })
  }
}

/** The runner removes it: an image may have directories that their owner may not write to. */
async function discard(cx: Context, store: LocalStore, scratch: string): Promise<void> {
  const fd = openSync(scratch, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await store.runner.remove({ ...cx, signal: new AbortController().signal }, { trees: [{ fd, path: 'rootfs' }] })
  } finally {
    closeSync(fd)
    rmSync(scratch, { recursive: true, force: true })
  }
}
