import { rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createContainer, findContainer, removeContainer, type Container, type CreateOptions } from '#container/container.ts'
import type { MountOption } from '#container/mount.ts'
import { hasCode, StaveError } from '#error.ts'
import { hostPlatform } from '#oci/platform.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { containerOptions } from './options.ts'
import { ensureImage } from '../images/fetch.ts'
import type { Session } from '../session.ts'
import type { createFlags } from './create-flags.ts'

/** Makes the container that the words of `run` or `create` describe, of an image that is fetched if it has to be. */
export async function newContainer(
  { cx, flags, args, settings, report }: Invocation<typeof createFlags>,
  session: Session,
): Promise<Container> {
  if (flags.quiet) report.mode('quiet')
  const [imageName = '', ...command] = args
  const options = containerOptions(flags, command, settings)
  const idFile = flags.cidfile === undefined ? undefined : resolve(settings.cwd, flags.cidfile)
  // Taken before anything is made: a file that is there belongs to another container.
  if (idFile !== undefined) writeIdFile(idFile, '', 'wx')
  try {
    const { image, name } = await ensureImage(cx, session, settings, imageName, { ...flags, platform: platformOf(flags) })
    if (flags.replace && flags.name !== undefined) await removeNamed(cx, session.store, flags.name)
    const borrowed = flags['volumes-from'].flatMap((text) => mountsOf(session.store, text))
    const container = await createContainer(cx, session.store, image, name, withMounts(options, borrowed))
    if (idFile !== undefined) writeIdFile(idFile, container.id, 'w')
    return container
  } catch (error) {
    if (idFile !== undefined) rmSync(idFile, { force: true })
    throw error
  }
}

/** podman's three flags for what docker's one says. */
function platformOf({ platform, os, arch, variant }: Invocation<typeof createFlags>['flags']): string | undefined {
  if (platform !== undefined || (os === undefined && arch === undefined && variant === undefined)) return platform
  const host = hostPlatform(process.arch)
  return [os ?? host.os, arch ?? host.architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

/** `CONTAINER[:ro|rw]`: what it has mounted, where it has it. */
function mountsOf(store: LocalStore, text: string): readonly MountOption[] {
  const [, name = '', access] = /^(.*?)(?::(ro|rw|z|Z))?$/s.exec(text)!
  return findContainer(store, name).spec.mounts.flatMap((mount): readonly MountOption[] => {
    if (mount.type !== 'volume' && mount.type !== 'bind') return []
    return [access === 'ro' ? { ...mount, readonly: true } : mount]
  })
}

/** Docker's rule: what is mounted by its own flag goes before what comes from another container, the last of which wins. */
function withMounts(options: CreateOptions, borrowed: readonly MountOption[]): CreateOptions {
  const byTarget = new Map([...borrowed, ...(options.mounts ?? [])].map((mount) => [mount.target, mount]))
  return borrowed.length === 0 ? options : { ...options, mounts: [...byTarget.values()] }
}

async function removeNamed(cx: Invocation['cx'], store: LocalStore, name: string): Promise<void> {
  try {
    const other = findContainer(store, name)
    if (other.name === name) await removeContainer(cx, store, other, { force: true })
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
  }
}

function writeIdFile(file: string, text: string, flag: 'w' | 'wx'): void {
  try {
    writeFileSync(file, text, { flag })
  } catch (cause) {
    throw new StaveError('io', `cannot write the container's ID to ${file}`, {
      cause,
      ...((cause as NodeJS.ErrnoException).code === 'EEXIST' && { hint: 'The file must not exist yet.' }),
    })
  }
}
