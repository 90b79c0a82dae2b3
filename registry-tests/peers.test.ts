import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { bytesOf, collect, indexOf, manifestOf, sample } from '#registry/testing.ts'
import { candidates, duringTests, has } from './registries.ts'

const run = promisify(execFile)
const skopeo = (...parameters: string[]) => run('skopeo', parameters, { timeout: 60_000 }).then(({ stdout }) => stdout)

/** A real image: one file in a gzip layer that others can unpack. */
async function image(text: string, directory: string) {
  await mkdir(path.join(directory, 'root'), { recursive: true })
  await writeFile(path.join(directory, 'root/hello'), text)
  await run('tar', ['-C', path.join(directory, 'root'), '-cf', path.join(directory, 'layer.tar'), 'hello'])
  const tar = await readFile(path.join(directory, 'layer.tar'))
  const layer = sample(mediaTypes.ociLayerGzip, gzipSync(tar))
  const document = {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/hello'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
    history: [{ created_by: text }],
  }
  const config = sample(mediaTypes.ociConfig, Buffer.from(JSON.stringify(document)))
  return { layer, config, manifest: manifestOf(config, [layer]) }
}

for (const candidate of candidates(process.env.STAVE_TEST_REGISTRIES)) {
  const why = candidate.skip ?? (has('skopeo') ? undefined : 'skopeo is not installed')
  if (why !== undefined) {
    test.skip(`${candidate.name} with skopeo: skipped, because ${why}`, () => {})
    continue
  }

  describe(`${candidate.name} with skopeo`, () => {
    const during = duringTests(candidate)
    const side = (name: 'src' | 'dest') => [
      `--${name}-tls-verify=false`,
      ...(during.creds.length === 0 ? [] : [`--${name}-creds`, during.creds[1]!]),
    ]
    const open = (name: string) => during.client.open(parseReference(`${during.host}/${name}`))

    test('it reads what was pushed, bit for bit', async () => {
      const registry = open('peers/ours')
      const { layer, config, manifest } = await image('made here', during.shop.path('ours'))
      for (const { what, raw } of [layer, config, manifest]) await registry.write(cx, what, bytesOf(raw))
      const index = indexOf([{ ...manifest, what: { ...manifest.what, platform: { os: 'linux', architecture: 'amd64' } } }])
      await registry.write(cx, index.what, bytesOf(index.raw))
      await registry.name(cx, manifest.what, 'one')
      await registry.name(cx, index.what, 'all')
      const reference = `docker://${during.host}/peers/ours`
      const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', ...during.creds, `${reference}:one`)) as {
        Digest: string
        RepoTags: string[]
      }
      expect([inspected.Digest, inspected.RepoTags.sort()]).toEqual([manifest.what.digest, ['all', 'one']])
      const out = during.shop.path('out')
      await skopeo('copy', '--all', ...side('src'), `${reference}:all`, `dir:${out}`)
      const names = await readdir(out)
      for (const { what, raw } of [layer, config])
        expect(digestOf(await readFile(path.join(out, what.digest.slice(7))))).toBe(digestOf(raw))
      expect(digestOf(await readFile(path.join(out, 'manifest.json')))).toBe(index.what.digest)
      expect(names).toContain(`${manifest.what.digest.slice(7)}.manifest.json`)
    })

    test('what it pushed is read, in both formats', async () => {
      const { layer, config, manifest } = await image('made there', during.shop.path('theirs'))
      const layout = during.shop.path('dir')
      await mkdir(layout)
      for (const { what, raw } of [layer, config]) await writeFile(path.join(layout, what.digest.slice(7)), raw)
      await writeFile(path.join(layout, 'manifest.json'), manifest.raw)
      await writeFile(path.join(layout, 'version'), 'Directory Transport Version: 1.1\n')
      for (const format of ['oci', 'v2s2']) {
        await skopeo('copy', '--format', format, ...side('dest'), `dir:${layout}`, `docker://${during.host}/peers/theirs:${format}`)
        const registry = open('peers/theirs')
        const root = await registry.resolve(cx, format)
        expect(root.mediaType).toBe(format === 'oci' ? mediaTypes.ociManifest : mediaTypes.dockerManifest)
        const to = open(`peers/copied-${format}`)
        await copy(cx, registry, root, to, { name: 'v1' })
        expect(digestOf(await collect(await to.open(cx, layer.what)))).toBe(layer.what.digest)
        await skopeo('inspect', '--tls-verify=false', ...during.creds, `docker://${during.host}/peers/copied-${format}:v1`)
      }
    })

    test('it copies from it, deletes and lists', async () => {
      const reference = `docker://${during.host}/peers/moved`
      await skopeo('copy', ...side('src'), ...side('dest'), `docker://${during.host}/peers/ours:one`, `${reference}:a`)
      await skopeo('copy', ...side('src'), ...side('dest'), `docker://${during.host}/peers/ours:one`, `${reference}:b`)
      expect(await open('peers/moved').resolve(cx, 'a')).toEqual(await open('peers/ours').resolve(cx, 'one'))
      await skopeo('delete', '--tls-verify=false', ...during.creds, `${reference}:a`)
      await expect(open('peers/moved').resolve(cx, 'a')).rejects.toMatchObject({ code: 'not-found' })
    })
  })
}
