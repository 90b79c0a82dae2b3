import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { anonymous, givenCredentials } from '#registry/login/credentials.ts'
import { createRegistryClient, type RegistryClient } from '#registry/client/registry.ts'
import { bytesOf, collect, indexOf, manifestOf, sample } from '#registry/testing.ts'
import { candidates, has, type Running, temporary } from './registries.ts'

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
    let running: Running
    let client: RegistryClient
    let directory: string
    const creds = () => (running.user === undefined ? [] : ['--creds', `${running.user.name}:${running.user.password}`])
    const side = (name: 'src' | 'dest') => [
      `--${name}-tls-verify=false`,
      ...(running.user === undefined ? [] : [`--${name}-creds`, creds()[1]!]),
    ]
    const open = (name: string) => client.open(parseReference(`${running.host}/${name}`))

    beforeAll(async () => {
      running = await candidate.start()
      directory = await temporary()
      const { user } = running
      client = createRegistryClient({ credentials: user === undefined ? anonymous : givenCredentials(user.name, user.password) })
    })
    afterAll(async () => {
      await client[Symbol.asyncDispose]()
      await running[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    })

    test('it reads what was pushed, bit for bit', async () => {
      const registry = open('peers/ours')
      const { layer, config, manifest } = await image('made here', path.join(directory, 'ours'))
      for (const { what, raw } of [layer, config, manifest]) await registry.write(cx, what, bytesOf(raw))
      const index = indexOf([{ ...manifest, what: { ...manifest.what, platform: { os: 'linux', architecture: 'amd64' } } }])
      await registry.write(cx, index.what, bytesOf(index.raw))
      await registry.name(cx, manifest.what, 'one')
      await registry.name(cx, index.what, 'all')
      const reference = `docker://${running.host}/peers/ours`
      const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', ...creds(), `${reference}:one`)) as {
        Digest: string
        RepoTags: string[]
      }
      expect([inspected.Digest, inspected.RepoTags.sort()]).toEqual([manifest.what.digest, ['all', 'one']])
      const out = path.join(directory, 'out')
      await skopeo('copy', '--all', ...side('src'), `${reference}:all`, `dir:${out}`)
      const names = await readdir(out)
      for (const { what, raw } of [layer, config])
        expect(digestOf(await readFile(path.join(out, what.digest.slice(7))))).toBe(digestOf(raw))
      expect(digestOf(await readFile(path.join(out, 'manifest.json')))).toBe(index.what.digest)
      expect(names).toContain(`${manifest.what.digest.slice(7)}.manifest.json`)
    })

    test('what it pushed is read, in both formats', async () => {
      const { layer, config, manifest } = await image('made there', path.join(directory, 'theirs'))
      const layout = path.join(directory, 'dir')
      await mkdir(layout)
      for (const { what, raw } of [layer, config]) await writeFile(path.join(layout, what.digest.slice(7)), raw)
      await writeFile(path.join(layout, 'manifest.json'), manifest.raw)
      await writeFile(path.join(layout, 'version'), 'Directory Transport Version: 1.1\n')
      for (const format of ['oci', 'v2s2']) {
        await skopeo('copy', '--format', format, ...side('dest'), `dir:${layout}`, `docker://${running.host}/peers/theirs:${format}`)
        const registry = open('peers/theirs')
        const root = await registry.resolve(cx, format)
        expect(root.mediaType).toBe(format === 'oci' ? mediaTypes.ociManifest : mediaTypes.dockerManifest)
        const to = open(`peers/copied-${format}`)
        await copy(cx, registry, root, to, { name: 'v1' })
        expect(digestOf(await collect(await to.open(cx, layer.what)))).toBe(layer.what.digest)
        await skopeo('inspect', '--tls-verify=false', ...creds(), `docker://${running.host}/peers/copied-${format}:v1`)
      }
    })

    test('it copies from it, deletes and lists', async () => {
      const reference = `docker://${running.host}/peers/moved`
      await skopeo('copy', ...side('src'), ...side('dest'), `docker://${running.host}/peers/ours:one`, `${reference}:a`)
      await skopeo('copy', ...side('src'), ...side('dest'), `docker://${running.host}/peers/ours:one`, `${reference}:b`)
      expect(await open('peers/moved').resolve(cx, 'a')).toEqual(await open('peers/ours').resolve(cx, 'one'))
      await skopeo('delete', '--tls-verify=false', ...creds(), `${reference}:a`)
      await expect(open('peers/moved').resolve(cx, 'a')).rejects.toMatchObject({ code: 'not-found' })
    })
  })
}
