import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { anonymous, givenCredentials } from '#registry/login/credentials.ts'
import { createRegistryClient, type Registry, type RegistryClient } from '#registry/client/registry.ts'
import { bytesOf, collect, configOf, indexOf, layerOf, manifestOf, pushImage, sample, startRig } from '#registry/testing.ts'
import { flaky } from './flaky.ts'
import { candidates, type Running } from './registries.ts'

const mebibyte = 1024 * 1024

for (const candidate of candidates(process.env.STAVE_TEST_REGISTRIES)) {
  if (candidate.skip !== undefined) {
    test.skip(`${candidate.name}: skipped, because ${candidate.skip}`, () => {})
    continue
  }

  describe(candidate.name, () => {
    let running: Running
    let client: RegistryClient
    // The registries of compose keep what earlier runs left.
    const run = randomBytes(4).toString('hex')
    let count = 0

    const credentials = () => (running.user === undefined ? anonymous : givenCredentials(running.user.name, running.user.password))
    const at = (host: string, name: string) => client.open(parseReference(`${host}/stave-${run}/${name}`))
    const fresh = (): Registry => at(running.host, `r${count++}`)
    const again = (registry: Registry): Registry => client.open(registry.reference)

    beforeAll(async () => {
      running = await candidate.start()
      client = createRegistryClient({ credentials: credentials(), retry: { firstDelayMs: 20, maxDelayMs: 100 } })
    })
    afterAll(async () => {
      await client[Symbol.asyncDispose]()
      await running[Symbol.asyncDispose]()
    })

    describe('push and pull', () => {
      test.each([0, 1, 1000, mebibyte, mebibyte + 1, 20 * mebibyte])('a blob of %d bytes', async (size) => {
        const registry = fresh()
        const { what, raw } = layerOf(size)
        expect(await registry.has(cx, what)).toBe(false)
        await registry.write(cx, what, bytesOf(raw))
        expect(await again(registry).has(cx, what)).toBe(true)
        expect(digestOf(await collect(await again(registry).open(cx, what)))).toBe(what.digest)
      })

      test('a blob that is there already', async () => {
        const registry = fresh()
        const { what, raw } = layerOf(1000)
        await registry.write(cx, what, bytesOf(raw))
        await again(registry).write(cx, what, bytesOf(raw))
        expect(digestOf(await collect(await registry.open(cx, what)))).toBe(what.digest)
      })

      test('part of a blob', async () => {
        const registry = fresh()
        const { what, raw } = layerOf(3 * mebibyte)
        await registry.write(cx, what, bytesOf(raw))
        for (const from of [1, mebibyte, raw.length - 1, raw.length])
          expect(digestOf(await collect(await registry.open(cx, what, from)))).toBe(digestOf(raw.subarray(from)))
      })

      test('a blob whose bytes are others is refused', async () => {
        const registry = fresh()
        const { what, raw } = layerOf(2 * mebibyte)
        const wrong = Buffer.from(raw)
        wrong[5]! ^= 1
        // The stream claims to have been verified, so the registry has to find out.
        const bytes = Object.assign(bytesOf(wrong), { verifies: what.digest })
        await expect(registry.write(cx, what, bytes)).rejects.toMatchObject({ code: 'digest-mismatch' })
        expect(await again(registry).has(cx, what)).toBe(false)
      })

      test('an OCI image, by tag and digest', async () => {
        const registry = fresh()
        const { config, layer, manifest } = await pushImage(cx, registry, 'v1')
        for (const name of ['v1', manifest.what.digest]) expect(await again(registry).resolve(cx, name)).toEqual(manifest.what)
        for (const { what, raw } of [config, layer, manifest])
          expect(digestOf(await collect(await again(registry).open(cx, what)))).toBe(digestOf(raw))
      })

      test('a Docker image', async () => {
        const registry = fresh()
        const config = sample(mediaTypes.dockerConfig, configOf('docker').raw)
        const layer = sample(mediaTypes.dockerLayerGzip, layerOf(500).raw)
        const text = { schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config: config.what, layers: [layer.what] }
        const manifest = sample(mediaTypes.dockerManifest, Buffer.from(JSON.stringify(text, undefined, 3)))
        for (const { what, raw } of [config, layer, manifest]) await registry.write(cx, what, bytesOf(raw))
        await registry.name(cx, manifest.what, 'v1')
        expect(await again(registry).resolve(cx, 'v1')).toEqual(manifest.what)
      })

      test('an index, whole, by copying it from another registry', async () => {
        await using source = await startRig()
        const from = source.open('source')
        const children = await Promise.all(['one', 'two'].map(async (name) => (await pushImage(source.cx, from, name)).manifest))
        const index = indexOf(children)
        await from.write(source.cx, index.what, bytesOf(index.raw))
        const registry = fresh()
        await copy(cx, from, index.what, registry, { name: 'all' })
        expect(await again(registry).resolve(cx, 'all')).toEqual(index.what)
        for (const { what } of children) expect(await again(registry).resolve(cx, what.digest)).toEqual(what)
        // And back, into another repository of the first one.
        const back = source.open('back')
        await copy(cx, again(registry), index.what, back, { name: 'all' })
        expect(await source.open('back').resolve(source.cx, 'all')).toEqual(index.what)
      })

      test('a manifest whose blobs are not there is refused', async () => {
        const { what, raw } = manifestOf(configOf('missing'), [layerOf(10)])
        await expect(fresh().write(cx, what, bytesOf(raw))).rejects.toMatchObject({
          code: expect.stringMatching(/registry-problem|not-found|blob-unknown/) as string,
        })
      })

      test('many blobs at once', async () => {
        const registry = fresh()
        const layers = Array.from({ length: 40 }, (_, index) => layerOf(1000 + index * 1000))
        await Promise.all(layers.map(({ what, raw }) => registry.transfer(cx, what, async (from) => bytesOf(raw, from))))
        const digests = await Promise.all(layers.map(async ({ what }) => digestOf(await collect(await registry.open(cx, what)))))
        expect(digests).toEqual(layers.map(({ what }) => what.digest))
      })
    })

    describe('mount', () => {
      test('takes a blob over from another repository', async () => {
        const [from, to] = [fresh(), fresh()]
        const { what, raw } = layerOf(1000)
        await from.write(cx, what, bytesOf(raw))
        if (!(await to.adopt(cx, what, from))) await to.write(cx, what, bytesOf(raw))
        expect(digestOf(await collect(await again(to).open(cx, what)))).toBe(what.digest)
      })

      test('of what is not there leads to an upload', async () => {
        const [from, to] = [fresh(), fresh()]
        const { what, raw } = layerOf(1000)
        await pushImage(cx, from, 'v1')
        expect(await to.adopt(cx, what, from)).toBe(false)
        await to.write(cx, what, bytesOf(raw))
        expect(digestOf(await collect(await again(to).open(cx, what)))).toBe(what.digest)
      })

      test('copies an image within the registry without reading a blob', async () => {
        const [from, to] = [fresh(), fresh()]
        const { manifest } = await pushImage(cx, from, 'v1')
        let opened = 0
        const counting = { ...from, open: (...parameters: Parameters<Registry['open']>) => (opened++, from.open(...parameters)) }
        await copy(cx, counting, manifest.what, to, { name: 'v1' })
        expect(await again(to).resolve(cx, 'v1')).toEqual(manifest.what)
        expect(opened).toBeLessThanOrEqual(1)
      })
    })

    describe('discovery', () => {
      test('tags', async () => {
        const registry = fresh()
        const { manifest } = await pushImage(cx, registry, 'v1')
        const names = Array.from({ length: 12 }, (_, index) => `t${index}`)
        for (const name of names) await registry.name(cx, manifest.what, name)
        expect((await registry.listTags(cx)).sort()).toEqual([...names, 'v1'].sort())
      })

      test('what is not there', async () => {
        const registry = fresh()
        await expect(registry.resolve(cx, 'v1')).rejects.toMatchObject({ code: 'not-found' })
        await expect(registry.listTags(cx)).rejects.toMatchObject({ code: 'not-found' })
        await expect(registry.open(cx, layerOf(10).what)).rejects.toMatchObject({
          code: expect.stringMatching(/blob-unknown|not-found/) as string,
        })
        await pushImage(cx, registry, 'v1')
        await expect(registry.resolve(cx, 'v2')).rejects.toMatchObject({ code: 'not-found' })
        await expect(registry.resolve(cx, digestOf('nothing'))).rejects.toMatchObject({ code: 'not-found' })
      })

      test('referrers, whether the registry has the API or not', async () => {
        const registry = fresh()
        const { config, manifest } = await pushImage(cx, registry, 'v1')
        const artifacts = ['sbom', 'signature'].map((type) =>
          manifestOf(config, [], { artifactType: `application/vnd.stave.${type}`, subject: manifest.what, annotations: { type } }),
        )
        for (const { what, raw } of artifacts) await registry.write(cx, what, bytesOf(raw))
        const found = await again(registry).referrers(cx, manifest.what.digest)
        expect(found.map(({ digest }) => digest).sort()).toEqual(artifacts.map(({ what }) => what.digest).sort())
        expect(new Set(found.map(({ artifactType }) => artifactType))).toEqual(
          new Set(['application/vnd.stave.sbom', 'application/vnd.stave.signature']),
        )
        expect(await again(registry).referrers(cx, artifacts[0]!.what.digest)).toEqual([])
      })

      test('the catalog', async () => {
        const registry = fresh()
        await pushImage(cx, registry, 'v1')
        expect(await client.listRepositories(cx, running.host)).toContain(registry.reference.repository)
      })
    })

    describe('management', () => {
      test('deletes a manifest with its tags', async () => {
        const registry = fresh()
        const { manifest } = await pushImage(cx, registry, 'v1')
        await registry.deleteManifest(cx, manifest.what.digest)
        await expect(again(registry).resolve(cx, manifest.what.digest)).rejects.toMatchObject({ code: 'not-found' })
        await expect(again(registry).resolve(cx, 'v1')).rejects.toMatchObject({ code: 'not-found' })
      })

      test('deletes a tag alone, or says that the registry cannot', async () => {
        const registry = fresh()
        const { manifest } = await pushImage(cx, registry, 'v1')
        await registry.name(cx, manifest.what, 'v2')
        const result = await registry.deleteManifest(cx, 'v2').then(
          () => 'deleted',
          (error: { code: string }) => error.code,
        )
        expect(['deleted', 'unsupported']).toContain(result)
        expect(await again(registry).resolve(cx, 'v1')).toEqual(manifest.what)
      })

      test('deletes a blob', async () => {
        const registry = fresh()
        const { what, raw } = layerOf(100)
        await registry.write(cx, what, bytesOf(raw))
        await registry.deleteBlob(cx, what.digest)
        expect(await again(registry).has(cx, what)).toBe(false)
      })
    })

    describe('over a line that breaks', () => {
      test('a download goes on', async () => {
        const registry = fresh()
        const { what, raw } = layerOf(12 * mebibyte)
        await registry.write(cx, what, bytesOf(raw))
        await using line = await flaky(running.host)
        line.breakAfter('down', 2 * mebibyte, 3)
        const bytes = await collect(await at(line.host, registry.reference.repository.split('/')[1]!).open(cx, what))
        expect(digestOf(bytes)).toBe(what.digest)
        expect(line.broken).toBe(3)
      })

      test('an upload goes on, or begins anew', async () => {
        const { what, raw } = layerOf(12 * mebibyte)
        await using line = await flaky(running.host)
        const registry = at(line.host, `r${count++}`)
        line.breakAfter('up', 5 * mebibyte)
        const opened: number[] = []
        await registry.transfer(cx, what, async (from) => {
          opened.push(from)
          return bytesOf(raw, from)
        })
        expect(line.broken).toBe(1)
        expect(opened.length).toBeGreaterThan(1)
        expect(digestOf(await collect(await at(running.host, registry.reference.repository.split('/')[1]!).open(cx, what)))).toBe(
          what.digest,
        )
      })
    })

    describe('users', () => {
      test('ping', async () => {
        await client.ping(cx, running.host)
      })

      test('without a password, or with a wrong one, are refused', async ({ skip }) => {
        const { user } = running
        if (user === undefined) return skip('this registry lets everybody in')
        for (const wrong of [anonymous, givenCredentials(user.name, `${user.password}x`), givenCredentials('nobody', user.password)]) {
          await using stranger = createRegistryClient({ credentials: wrong })
          // A token server may give a token to nobody in particular, which is good for nothing.
          if (wrong !== anonymous) await expect(stranger.ping(cx, running.host)).rejects.toMatchObject({ code: 'unauthorized' })
          const repository = stranger.open(fresh().reference)
          const { what, raw } = layerOf(10)
          await expect(repository.write(cx, what, bytesOf(raw))).rejects.toMatchObject({
            code: expect.stringMatching(/unauthorized|denied/) as string,
          })
          await expect(repository.resolve(cx, 'v1')).rejects.toMatchObject({ code: expect.stringMatching(/unauthorized|denied/) as string })
        }
      })
    })
  })
}
