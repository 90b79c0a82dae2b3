import { statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Source, Target } from '#image/content.ts'
import type { FileLocation } from './location.ts'

/** What opening a place on this machine depends on beside its name. */
export interface Surroundings {
  /** Where relative paths start. Absolute. */
  readonly cwd: string
  /** The directory in which an archive waits that comes as a stream or compressed, made when one is opened. Default: the system's. */
  readonly temporary?: () => string
  /** Where OCI layouts have their blobs instead of in themselves. */
  readonly sharedBlobs?: string | undefined
}

/** What an archive is read from, or written to, that has no path. */
export interface Stream<S> {
  readonly stream?: S | undefined
}

/**
 * Opens content on this machine for reading.
 *
 * @returns the place, and what to `resolve` in it
 * @throws StaveError `not-found`, `invalid-document`, and what the operating system says
 */
export async function openFiles(
  cx: Context,
  location: FileLocation & Stream<Bytes>,
  around: Surroundings,
): Promise<{ readonly source: Source; readonly name: string }> {
  const path = resolve(around.cwd, location.path)
  switch (location.transport) {
    case 'oci': {
      const { openLayout } = await import('#layout/layout.ts')
      return { source: await openLayout(path, layoutOptions(around)), name: location.name ?? '' }
    }
    case 'dir': {
      const { openDirectory } = await import('#layout/directory.ts')
      return { source: await openDirectory(path), name: '' }
    }
    case 'tarball': {
      const { openTarballs } = await import('./tarball.ts')
      return { source: await openTarballs(cx, location.paths, around.cwd, temporaryOf(around)), name: '' }
    }
    case 'oci-archive':
    case 'docker-archive': {
      const { openArchive } = await import('#archive/open.ts')
      return { source: await openArchive(cx, location.stream ?? path, { temporary: temporaryOf(around) }), name: location.name ?? '' }
    }
  }
}

/**
 * Opens content on this machine for writing. What is there is added to, or replaced.
 *
 * @returns the place, and the name that the content gets in it; undefined: none
 * @throws StaveError `conflict` for a directory with other things, `usage` for what is only read
 */
export async function createFiles(
  location: FileLocation & Stream<NodeJS.WritableStream>,
  around: Pick<Surroundings, 'cwd' | 'sharedBlobs'>,
): Promise<{ readonly target: Target; readonly name: string | undefined }> {
  const path = resolve(around.cwd, location.path)
  switch (location.transport) {
    case 'oci': {
      const { openLayout } = await import('#layout/layout.ts')
      return { target: await openLayout(path, { create: true, ...layoutOptions(around) }), name: location.name ?? '' }
    }
    case 'dir': {
      const { createDirectory } = await import('#layout/directory.ts')
      return { target: await createDirectory(path), name: '' }
    }
    case 'oci-archive': {
      const { createOciArchive } = await import('#archive/create.ts')
      return { target: await createOciArchive(location.stream ?? path), name: location.name }
    }
    case 'docker-archive': {
      const { createDockerArchive } = await import('#archive/create.ts')
      return { target: await createDockerArchive(location.stream ?? path), name: location.name }
    }
    case 'tarball':
      throw new StaveError('usage', `cannot write to tarball:${location.path}: images are only read from it`, {
        hint: 'stave image export writes the root file system of an image as a tar.',
      })
  }
}

/** Where an archive waits that has to be read more than once. */
export function temporaryOf({ temporary }: Surroundings): string {
  return temporary?.() ?? tmpdir()
}

function layoutOptions({ cwd, sharedBlobs }: Pick<Surroundings, 'cwd' | 'sharedBlobs'>): { readonly blobs?: string } {
  return sharedBlobs === undefined ? {} : { blobs: resolve(cwd, sharedBlobs) }
}

/**
 * Refuses a docker-archive that is there: Docker's archives are not added to, as with skopeo, and what is there may be
 * the only copy.
 *
 * @throws StaveError `conflict`
 */
export function refuseExisting(location: FileLocation, cwd: string): void {
  if (location.transport !== 'docker-archive') return
  const path = resolve(cwd, location.path)
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isFile() !== true || found.size === 0) return
  throw new StaveError('conflict', `cannot write docker-archive:${path}: the file is there already, and nothing can be added to it`, {
    hint: 'Remove it, or choose another name. stave save writes several images to one archive.',
  })
}
