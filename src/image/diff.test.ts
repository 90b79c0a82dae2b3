import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { pack, type Header } from 'tar-stream'
import { diffFiles, diffLayers } from './diff.ts'
import { openImage } from './image.ts'
import { memory } from './memory.ts'

type Member = readonly [name: string, content?: string, header?: Partial<Header>]

async function layer(...members: readonly Member[]): Promise<Buffer> {
  const archive = pack()
  for (const [name, content = '', header = {}] of members) {
    archive.entry(
      { name, mode: 0o644, mtime: new Date(Math.random() * 1e12), type: name.endsWith('/') ? 'directory' : 'file', ...header },
      content,
    )
  }
  archive.finalize()
  return Buffer.concat(await Array.fromAsync(archive as AsyncIterable<Buffer>))
}

const place = memory('images')
async function imageOf(...layers: readonly Buffer[]) {
  const descriptors = layers.map((tar, at) =>
    at % 2 === 0 ? place.put(gzipSync(tar), mediaTypes.ociLayerGzip) : place.put(tar, mediaTypes.ociLayer),
  )
  const config = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: layers.map((tar) => digestOf(tar)) } }
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: place.put(Buffer.from(JSON.stringify(config)), mediaTypes.ociConfig),
    layers: descriptors,
  }
  return openImage(cx, place, place.put(Buffer.from(JSON.stringify(manifest)), mediaTypes.ociManifest))
}

async function told(before: readonly Buffer[], after: readonly Buffer[]): Promise<string[]> {
  const changes = await diffFiles(cx, await imageOf(...before), await imageOf(...after))
  return changes.map(({ path, before: left, after: right }) => `${left === undefined ? '+' : right === undefined ? '-' : '~'} ${path}`)
}

const base = await layer(
  ['etc/'],
  ['etc/passwd', 'root'],
  ['etc/group', 'root'],
  ['usr/'],
  ['usr/bin/'],
  ['usr/bin/sh', 'shell'],
  ['usr/bin/ls', 'list'],
)

test('files that came, went and changed, in whichever layers', async () => {
  const other = await layer(['./etc/passwd', 'root\nann'], ['new', 'file'], ['usr/bin/.wh.ls'], ['etc/group', 'root', { mode: 0o600 }])
  expect(await told([base], [base, other])).toEqual(['~ /etc/group', '~ /etc/passwd', '+ /new', '- /usr/bin/ls'])
  expect(await told([base, other], [base])).toEqual(['~ /etc/group', '~ /etc/passwd', '- /new', '+ /usr/bin/ls'])
  expect(diffLayers(await imageOf(base), await imageOf(base, other))).toMatchObject({ common: [{}], before: [], after: [{}] })
})

test('the same files in other layers are the same, whatever their times', async () => {
  const again = await layer(['etc/passwd', 'root'])
  expect(await told([base], [base, again])).toEqual([])
})

test('a directory that is made opaque, or replaced, takes what was in it along', async () => {
  expect(await told([base], [base, await layer(['usr/bin/.wh..wh..opq'], ['usr/bin/env', 'e'])])).toEqual([
    '+ /usr/bin/env',
    '- /usr/bin/ls',
    '- /usr/bin/sh',
  ])
  expect(await told([base], [base, await layer(['usr/bin', 'now a file'])])).toEqual(['~ /usr/bin', '- /usr/bin/ls', '- /usr/bin/sh'])
})

test('hard and symbolic links are what they lead to', async () => {
  const links = await layer(['hard', '', { type: 'link', linkname: '/etc/passwd' }], ['soft', '', { type: 'symlink', linkname: 'a' }])
  const copies = await layer(['hard', 'root'], ['soft', '', { type: 'symlink', linkname: 'b' }])
  expect(await told([base, links], [base, copies])).toEqual(['~ /soft'])
})

test('names that lead out stay inside, and what is no tar is said', async () => {
  expect(await told([base], [base, await layer(['../../etc/passwd', 'other'])])).toEqual(['~ /etc/passwd'])
  await expect(told([base], [base, Buffer.from('no tar at all, '.repeat(100))])).rejects.toMatchObject({ code: 'invalid-layer' })
})
