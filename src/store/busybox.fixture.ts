import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { background as cx } from '#context.ts'
import { openImage, type Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { locateRunner } from '#runner/locate.ts'
import { createRunner, type Runner } from '#runner/runner.ts'
import type { LocalStore } from './open.ts'

/** What the tests of real containers need: the native program, a static busybox, and root or subordinate ids. Else why not. */
export function whyNoContainers(): string | undefined {
  if (!existsSync('/bin/busybox')) return 'there is no /bin/busybox (package busybox-static)'
  if (process.getuid?.() !== 0 && !existsSync('/usr/bin/newuidmap')) return 'there is neither root nor newuidmap (package uidmap)'
  try {
    locateRunner()
  } catch (error) {
    return String(error)
  }
  return undefined
}

/** A runner as this user: root, or in a user namespace. */
export function testRunner(root: string): Runner {
  return createRunner({ binary: locateRunner(), uid: process.getuid?.() ?? 0, root })
}

let layers: { base: Buffer; top: Buffer } | undefined

/** Two layers: a busybox root, and over it an application's directory and a whiteout. */
function makeLayers(): { base: Buffer; top: Buffer } {
  const root = mkdtempSync(join(tmpdir(), 'stave-busybox-'))
  // Owners are given here and not by the files, so that an ordinary user makes the same layers.
  const pack = (directory: string, ...owned: readonly (readonly [owner: string, ...paths: string[]])[]) => {
    const archive = join(root, `${directory}.tar`)
    for (const [owner, ...paths] of owned) {
      const options = [
        '--sort=name',
        '--mtime=@1700000000',
        '--numeric-owner',
        `--owner=o:${owner}`,
        `--group=g:${owner}`,
        '-C',
        join(root, directory),
      ]
      execFileSync('tar', [...options, '-rf', archive, ...paths])
    }
    return readFileSync(archive)
  }
  try {
    const base = join(root, 'base')
    for (const directory of ['bin', 'etc', 'tmp', 'root', 'proc', 'sys', 'dev']) mkdirSync(join(base, directory), { recursive: true })
    copyFileSync('/bin/busybox', join(base, 'bin/busybox'))
    const applets = 'sh ls cat true false echo sleep id env mkdir rm touch hostname kill stat ps wc test mount tty chmod nc head seq'
    for (const applet of applets.split(' ')) symlinkSync('busybox', join(base, 'bin', applet))
    writeFileSync(join(base, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/data:/bin/sh\n')
    writeFileSync(join(base, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n')
    writeFileSync(join(base, 'etc/gone'), 'deleted by the layer above')
    writeFileSync(join(base, 'etc/noexec'), 'not executable')
    chmodSync(join(base, 'tmp'), 0o1777)
    const top = join(root, 'top')
    mkdirSync(join(top, 'data/sub'), { recursive: true })
    mkdirSync(join(top, 'etc'))
    writeFileSync(join(top, 'data/sub/file'), 'from the image\n')
    writeFileSync(join(top, 'etc/.wh.gone'), '')
    chmodSync(join(top, 'data'), 0o750)
    return { base: pack('base', ['0', '.']), top: pack('top', ['0', './etc'], ['1000', './data']) }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Puts a busybox image into the store, under that name. */
export async function addBusybox(store: LocalStore, name: string, config: ExecutionConfig = {}): Promise<Image> {
  layers ??= makeLayers()
  return addImage(store, name, [layers.base, layers.top], config)
}

/** Puts an image of these tars, the lowest first, into the store. */
export async function addImage(store: LocalStore, name: string, tars: readonly Buffer[], config: ExecutionConfig = {}): Promise<Image> {
  const descriptors = []
  const diffIds = []
  for (const layer of tars) {
    const { digest, size } = await store.blobs.put(layer)
    const isZipped = layer[0] === 0x1f
    descriptors.push({ mediaType: isZipped ? mediaTypes.ociLayerGzip : mediaTypes.ociLayer, digest, size })
    diffIds.push(isZipped ? digestOf(gunzipSync(layer)) : digest)
  }
  const configBytes = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      config: { Env: ['PATH=/bin'], Cmd: ['sh'], ...config },
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  )
  const stored = await store.blobs.put(configBytes)
  const manifestBytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, ...stored },
      layers: descriptors,
    }),
  )
  await store.blobs.put(manifestBytes)
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf(manifestBytes), size: manifestBytes.length }
  await store.name(cx, descriptor, name)
  return openImage(cx, store, descriptor)
}

/** A directory for a store: on a file system on which overlay can work. */
export function temporaryRoot(): string {
  // An overlay cannot lie on an overlay (a container's own root): /dev/shm is a tmpfs there.
  const overlaid = readFileSync('/proc/self/mounts', 'utf8').includes(' / overlay ')
  return mkdtempSync(join(overlaid ? '/dev/shm' : tmpdir(), 'stave-test-'))
}

/** Disposes of a test's store and removes all of it, also what belongs to subordinate ids. */
export async function removeStore(store: LocalStore): Promise<void> {
  const trees = ['snapshots', 'containers', 'volumes'].map((path) => ({ fd: store.directory, path }))
  await store.runner.remove(cx, { trees })
  await store[Symbol.asyncDispose]()
  await store.runner[Symbol.asyncDispose]()
  rmSync(store.root, { recursive: true, force: true })
}
