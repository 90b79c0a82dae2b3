import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { importImage } from '#builder/import.ts'
import { background as cx } from '#context.ts'
import type { Image } from '#image/image.ts'
import { hostPlatform } from '#oci/platform.ts'
import type { Store } from '#store/store.ts'

const root = join(import.meta.dirname, '../..')

/** The base images of the cases, by the name that stands in FROM. */
export const baseNames = ['busybox', 'debian'] as const

const applets =
  'sh ash ls cat true false echo sleep id env mkdir rmdir rm touch stat printenv wc test chmod chown ln mv cp head grep sed find sort tar wget readlink pwd whoami mknod mkfifo dd mount date tr od'

/** A tar of a busybox root with some users. The same bytes for the same busybox. */
export function busyboxTar(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'stave-busybox-'))
  try {
    for (const name of ['bin', 'etc', 'tmp', 'root', 'home/app', 'usr/bin', 'var/lib', 'srv'])
      mkdirSync(join(directory, name), { recursive: true })
    copyFileSync('/bin/busybox', join(directory, 'bin/busybox'))
    chmodSync(join(directory, 'bin/busybox'), 0o755)
    for (const applet of applets.split(' ')) symlinkSync('busybox', join(directory, 'bin', applet))
    writeFileSync(
      join(directory, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nother:x:2000:2000::/:/bin/sh\n',
    )
    writeFileSync(join(directory, 'etc/group'), 'root:x:0:\napp:x:1001:\nother:x:2000:\nhelpers:x:3000:app\n')
    symlinkSync('lib', join(directory, 'var/alias'))
    symlinkSync('/srv', join(directory, 'home/absolute'))
    execFileSync('chmod', ['-R', 'u=rwX,go=rX', directory])
    chmodSync(join(directory, 'tmp'), 0o1777)
    chmodSync(join(directory, 'root'), 0o700)
    return execFileSync(
      'tar',
      [
        '--numeric-owner',
        '--owner=0',
        '--group=0',
        '--sort=name',
        '--mtime=@1000000000',
        '-C',
        directory,
        '-cf',
        '-',
        ...['bin', 'etc', 'home', 'root', 'srv', 'tmp', 'usr', 'var'],
      ],
      { maxBuffer: 64 * 2 ** 20 },
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The Debian root of the checkout, made if it is not there. */
export function debianTar(): string {
  const file = join(root, '.setup/debian.tar')
  execFileSync('sh', [join(root, 'scripts/debian-root.sh'), file], { stdio: ['ignore', 'ignore', 'inherit'] })
  return file
}

/** Imports both roots, under the names that the cases use. */
export async function importBases(store: Store, work: string): Promise<ReadonlyMap<string, Image>> {
  const busybox = join(work, 'busybox.tar')
  writeFileSync(busybox, busyboxTar())
  const files = { busybox, debian: debianTar() }
  const images = new Map<string, Image>()
  for (const name of baseNames) {
    const fd = openSync(files[name], 'r')
    try {
      const changes = name === 'busybox' ? ['ENV PATH=/bin:/usr/bin', 'CMD ["sh"]'] : ['CMD ["bash"]']
      const platform = hostPlatform(process.arch === 'arm64' ? 'arm64' : 'amd64')
      const fullName = `docker.io/library/${name}:latest`
      images.set(name, await importImage(cx, { store, tar: fd, title: name, platform, changes, name: fullName, epoch: 1_000_000_000 }))
    } finally {
      closeSync(fd)
    }
  }
  return images
}

/** The image as an archive of `docker save`, for the peers: same config, same layers. */
export async function dockerArchive(image: Image, name: string): Promise<Buffer> {
  const tar = pack()
  const config = await image.rawConfig(cx)
  const add = (file: string, bytes: Uint8Array): void => {
    tar.entry({ name: file, size: bytes.length, mtime: new Date(0) }, Buffer.from(bytes))
  }
  const layers: string[] = []
  add('config.json', config)
  for (const { descriptor, diffId } of await image.layers(cx)) {
    const file = `${diffId.replace('sha256:', '')}.tar`
    const source = createGunzip()
    void (async () => {
      for await (const chunk of await image.source.open(cx, descriptor)) source.write(chunk)
      source.end()
    })()
    layers.push(file)
    add(file, await buffer(source))
  }
  add('manifest.json', Buffer.from(JSON.stringify([{ Config: 'config.json', RepoTags: [`${name}:latest`], Layers: layers }])))
  tar.finalize()
  return buffer(tar)
}
