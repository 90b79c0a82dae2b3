import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Bytes, Listed } from '#image/content.ts'
import { readDockerEntries } from './docker-manifest.ts'
import { archiveSource, readLayoutEntries, type Archive } from './source.ts'
import { openTar, type OpenTarOptions, type TarFile } from './tar-file.ts'

/**
 * Opens an archive of images of either form: an OCI layout in a tar file, or what `docker save` writes, which may have
 * such a layout in it, too.
 *
 * @throws StaveError `invalid-document`, if it is neither, and what {@link openTar} throws
 */
export async function openArchive(cx: Context, input: string | Bytes, options: OpenTarOptions = {}): Promise<Archive> {
  return open(cx, input, options, (tar) => (tar.find('manifest.json') !== undefined ? readDocker(cx, tar) : readOci(cx, tar)))
}

/** Opens a tar file of an OCI layout. @throws StaveError as {@link openArchive} */
export async function openOciArchive(cx: Context, input: string | Bytes, options: OpenTarOptions = {}): Promise<Archive> {
  return open(cx, input, options, (tar) => readOci(cx, tar))
}

/** Opens what `docker save` or `podman save` wrote. @throws StaveError as {@link openArchive} */
export async function openDockerArchive(cx: Context, input: string | Bytes, options: OpenTarOptions = {}): Promise<Archive> {
  return open(cx, input, options, (tar) => readDocker(cx, tar))
}

async function open(
  cx: Context,
  input: string | Bytes,
  options: OpenTarOptions,
  read: (tar: TarFile) => Promise<Archive>,
): Promise<Archive> {
  const tar = await openTar(cx, input, options)
  try {
    return await read(tar)
  } catch (error) {
    await tar[Symbol.asyncDispose]()
    throw error
  }
}

async function readOci(cx: Context, tar: TarFile): Promise<Archive> {
  const entries = await readLayoutEntries(cx, tar)
  if (entries === undefined) throw notAnArchive(tar, 'no index.json')
  return archiveSource(tar, `oci-archive:${tar.title}`, entries)
}

async function readDocker(cx: Context, tar: TarFile): Promise<Archive> {
  const manifest = tar.find('manifest.json')
  if (manifest === undefined) {
    if (tar.find('repositories') !== undefined) {
      throw new StaveError('unsupported', `cannot read ${tar.title}: it was saved by a Docker before 1.10`, {
        hint: 'Load and save it with a newer one.',
      })
    }
    throw notAnArchive(tar, 'no manifest.json')
  }
  const layoutEntries: readonly Listed[] = (await readLayoutEntries(cx, tar)) ?? []
  const { entries, elsewhere } = await readDockerEntries(cx, tar, manifest, layoutEntries)
  return archiveSource(tar, `docker-archive:${tar.title}`, entries, elsewhere)
}

function notAnArchive(tar: TarFile, why: string): StaveError {
  return new StaveError('invalid-document', `cannot read ${tar.title} as an archive of images: it has ${why}`, {
    hint: 'A file system without metadata is brought in with `stave import`.',
  })
}
