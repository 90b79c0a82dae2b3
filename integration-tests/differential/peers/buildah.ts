import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { openDirectory } from '../image.ts'
import { commonFlags, execute, reasonOf, type OpenPeer } from './peer.ts'

/** buildah with a storage of its own. Docker's format: OCI's has no place for HEALTHCHECK, SHELL and ONBUILD. */
export const openBuildah: OpenPeer = async (work, bases) => {
  const storage = ['--root', join(work, 'buildah'), '--runroot', join(work, 'buildah-run'), '--storage-driver', 'overlay']
  const buildah = (...args: readonly string[]) => execute('buildah', [...storage, ...args])
  try {
    for (const [name, archive] of bases) {
      const pulled = await buildah('pull', '--quiet', `docker-archive:${archive}`)
      if (pulled.status !== 0) return `buildah does not work here: ${reasonOf(pulled.output)}`
      await buildah('tag', `docker.io/library/${name}:latest`, name)
    }
  } catch (error) {
    return `buildah is not installed (${(error as Error).message})`
  }
  let count = 0
  return {
    async build(one, directory) {
      const tag = `localhost/case:${++count}`
      const image = join(work, `buildah-image-${count}`)
      const built = await buildah(
        'bud',
        '--layers',
        '--no-cache',
        '--pull-never',
        '--isolation',
        'chroot',
        '--format',
        'docker',
        '--identity-label=false',
        '--tag',
        tag,
        ...commonFlags(one, directory),
        join(directory, 'context'),
      )
      if (built.status !== 0) return { failed: reasonOf(built.output) }
      const pushed = await buildah('push', '--quiet', tag, `dir:${image}`)
      if (pushed.status !== 0) throw new Error(`buildah cannot push ${one.name}: ${pushed.output}`)
      return { built: openDirectory(image) }
    },
    async [Symbol.asyncDispose]() {
      await buildah('rm', '--all')
      await buildah('rmi', '--all', '--force')
      // The storage is mounted over itself while it is used.
      await execute('umount', [join(work, 'buildah/overlay')])
      rmSync(join(work, 'buildah'), { recursive: true, force: true })
    },
  }
}
