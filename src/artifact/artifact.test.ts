import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { pack, type Header } from 'tar-stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { memory } from '#image/memory.ts'
import { copy } from '#image/copy.ts'
import { putReferrer } from '#image/testing.ts'
import { digestOf } from '#oci/digest.ts'
import { discover, isEmptyContent, makeArtifact, openArtifact, titleAnnotation, unpackAnnotation } from './artifact.ts'
import { packFile } from './pack.ts'
import { unpackLayer } from './unpack.ts'

let root: string
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'stave-artifact-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(root, ...parts)

async function tarOf(entries: readonly (Partial<Header> & { readonly name: string; readonly text?: string })[]): Promise<Buffer> {
  const tar = pack()
  for (const { text, ...header } of entries) tar.entry(header, text ?? '')
  tar.finalize()
  return gzipSync(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>)))
}

/** Unpacks a directory that somebody packed so. */
async function unpacked(entries: Parameters<typeof tarOf>[0], title = 'dir'): Promise<string> {
  const place = memory()
  const descriptor = place.put(await tarOf(entries), 'application/vnd.oci.image.layer.v1.tar+gzip')
  mkdirSync(at('out'), { recursive: true })
  const layer = { ...descriptor, annotations: { [titleAnnotation]: title, [unpackAnnotation]: 'true' } }
  return unpackLayer(cx, place, layer, title, { directory: at('out'), keepOld: false })
}

test('a file and a directory go in and come out as they were, and the same gives the same', async () => {
  mkdirSync(at('in/dir/deep'), { recursive: true })
  writeFileSync(at('in/file'), 'text')
  writeFileSync(at('in/dir/run'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(at('in/dir/deep/empty'), '')
  symlinkSync('deep/empty', at('in/dir/link'))
  const digests: string[] = []
  for (const out of ['one', 'two']) {
    await using file = await packFile(cx, at('in/file'), { title: 'file', mediaType: 'text/plain', temporary: root })
    await using directory = await packFile(cx, at('in/dir'), { title: 'some/dir', temporary: root })
    const artifact = makeArtifact([file, directory], { artifactType: 'application/x', created: new Date(0) })
    digests.push(artifact.descriptor.digest)
    const place = memory()
    await copy(cx, artifact.source, artifact.descriptor, place)
    const { layers, config } = await openArtifact(cx, place, artifact.descriptor)
    expect(isEmptyContent(config)).toBe(true)
    for (const layer of layers) {
      const title = layer.annotations![titleAnnotation]!
      await unpackLayer(cx, place, layer, title, { directory: at(out), keepOld: true }).catch(async () => {
        mkdirSync(at(out))
        await unpackLayer(cx, place, layer, title, { directory: at(out), keepOld: true })
      })
    }
    expect(readFileSync(at(out, 'file'), 'utf8')).toBe('text')
    expect(readdirSync(at(out, 'some/dir')).toSorted()).toEqual(['deep', 'link', 'run'])
    expect(statSync(at(out, 'some/dir/run')).mode & 0o777).toBe(0o755)
    expect(readFileSync(at(out, 'some/dir/link'), 'utf8')).toBe('')
    await expect(unpackLayer(cx, place, layers[0]!, 'file', { directory: at(out), keepOld: true })).rejects.toMatchObject({
      code: 'conflict',
    })
  }
  expect(digests[0]).toBe(digests[1])
  // Nothing waits for a target any more.
  expect(readdirSync(root).filter((name) => name.startsWith('artifact-'))).toEqual([])
})

test('names that lead out of the directory are refused', async () => {
  const place = memory()
  const layer = place.put(Buffer.from('x'), 'text/plain')
  mkdirSync(at('out'))
  symlinkSync(root, at('out/up'))
  for (const title of ['../x', '/tmp/x', 'a/../../x', '..', '.', '', 'up/x', 'up/../../x', 'a\0b']) {
    const failure = unpackLayer(cx, place, layer, title, { directory: at('out'), keepOld: false })
    await expect(failure, title).rejects.toMatchObject({ code: 'escape' })
  }
  expect(readdirSync(root).toSorted()).toEqual(['out'])
})

test('a packed directory writes nothing outside of itself, and nothing stays of one that tries', async () => {
  const hostile: Parameters<typeof tarOf>[0][] = [
    [{ name: '../x', text: 'x' }],
    [{ name: 'dir/../../x', text: 'x' }],
    [{ name: '/x', text: 'x' }],
    [{ name: 'dir/link', type: 'symlink', linkname: '/etc' }],
    [{ name: 'dir/link', type: 'symlink', linkname: '../..' }],
    [{ name: 'dir/hard', type: 'link', linkname: '../../secret' }],
    [{ name: 'dir/device', type: 'character-device', devmajor: 1, devminor: 3 }],
  ]
  writeFileSync(at('secret'), 'secret')
  for (const entries of hostile) {
    const failure = unpacked(entries)
    await expect(failure, JSON.stringify(entries)).rejects.toMatchObject({ name: 'StaveError' })
    expect(readdirSync(at('out')), JSON.stringify(entries)).toEqual([])
  }
  expect(existsSync(at('x'))).toBe(false)
  // A link inside is made after all files: what is written under its name is a file in a directory.
  const path = await unpacked([
    { name: 'dir/to', type: 'directory' },
    { name: 'dir/to/file', text: 'text' },
    { name: 'dir/hard', type: 'link', linkname: 'dir/to/file' },
    { name: 'dir/link', type: 'symlink', linkname: 'to/file' },
  ])
  expect([readFileSync(join(path, 'link'), 'utf8'), readFileSync(join(path, 'hard'), 'utf8')]).toEqual(['text', 'text'])
})

test('a directory whose bytes are not what its digest says does not appear', async () => {
  const place = memory()
  const bytes = await tarOf([{ name: 'dir/file', text: 'text' }])
  const other = await tarOf([{ name: 'dir/file', text: 'exit' }])
  const descriptor = {
    mediaType: 'application/gzip',
    digest: digestOf(bytes),
    size: bytes.length,
    annotations: { [unpackAnnotation]: 'true' },
  }
  const lying = {
    ...place,
    open: async () =>
      (async function* () {
        yield other
      })(),
  }
  mkdirSync(at('out'))
  await expect(unpackLayer(cx, lying, descriptor, 'dir', { directory: at('out'), keepOld: false })).rejects.toMatchObject({
    code: expect.stringMatching(/mismatch/) as string,
  })
  expect(readdirSync(at('out'))).toEqual([])
})

test('what refers to it is found, and what refers to that', async () => {
  const place = memory()
  const artifact = makeArtifact([], { created: new Date(0) })
  await copy(cx, artifact.source, artifact.descriptor, place)
  const sbom = putReferrer(place, artifact.descriptor, 'application/sbom')
  const signature = putReferrer(place, sbom, 'application/signature')
  const found = await discover(cx, place, artifact.descriptor, { depth: 8 })
  expect(found.referrers.map(({ descriptor, referrers }) => [descriptor.digest, referrers.map((each) => each.descriptor.digest)])).toEqual([
    [sbom.digest, [signature.digest]],
  ])
  const chosen = await discover(cx, place, artifact.descriptor, { depth: 8, artifactType: 'application/signature' })
  expect(chosen.referrers).toEqual([])
  expect((await discover(cx, place, artifact.descriptor, { depth: 1 })).referrers[0]!.referrers).toEqual([])
})
