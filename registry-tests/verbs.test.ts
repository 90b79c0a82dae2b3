/** The verbs on single blobs, manifests, tags and repositories, against each registry, as scripts of crane and regctl use them. */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { sampleImage, sampleIndex } from '#image/testing.ts'
import { digestOf } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import type { Outcome } from '../integration-tests/stave.ts'
import { candidates, duringTests } from './registries.ts'

// How they let people in makes no difference to these.
const chosen = candidates(process.env.STAVE_TEST_REGISTRIES).filter(
  ({ name }) => !name.endsWith('with passwords') && name !== 'stave serve',
)

for (const candidate of chosen) {
  if (candidate.skip !== undefined) {
    test.skip(`verbs against ${candidate.name}: skipped, because ${candidate.skip}`, () => {})
    continue
  }

  describe(`verbs against ${candidate.name}`, () => {
    const during = duringTests(candidate)
    const place = (name: string) => `${during.host}/${name}`
    const open = (name: string) => during.client.open(parseReference(place(name)))
    const stave = (args: readonly string[], input = ''): Promise<Outcome> => during.shop.run([...args, ...during.creds], { input })

    async function must(args: readonly string[], input = ''): Promise<string> {
      const { status, stdout, stderr } = await stave(args, input)
      expect(stderr === '' ? status : `${status}: ${stderr}`).toBe(0)
      return stdout
    }

    test('blobs: put, head, get, mount', async () => {
      const text = `some bytes for ${candidate.name}`
      const digest = digestOf(text)
      expect(await must(['blob', 'put', place('verbs/blobs')], text)).toBe(`${digest}\n`)
      expect(await must(['blob', 'head', `${place('verbs/blobs')}@${digest}`])).toBe(`${text.length}\n`)
      expect(await must(['blob', 'get', `docker://${place('verbs/blobs')}@${digest}`])).toBe(text)
      expect(await must(['blob', 'get', '-o', 'blob', place('verbs/blobs'), digest])).toBe('')
      expect(await readFile(during.shop.path('blob'), 'utf8')).toBe(text)
      await writeFile(during.shop.path('file'), 'from a file')
      expect(await must(['blob', 'put', place('verbs/blobs'), 'file'])).toBe(`${digestOf('from a file')}\n`)

      expect((await stave(['blob', 'head', `${place('verbs/other')}@${digest}`])).status).toBe(1)
      expect(await must(['blob', 'mount', `${place('verbs/blobs')}@${digest}`, place('verbs/other')])).toBe(`${digest}\n`)
      expect(await must(['blob', 'get', `${place('verbs/other')}@${digest}`])).toBe(text)

      const gone = await stave(['blob', 'get', `${place('verbs/blobs')}@${digestOf('nothing')}`])
      expect(gone).toMatchObject({ status: 1, stdout: '' })
      expect(gone.stderr).toContain(digestOf('nothing'))
      expect((await stave(['blob', 'get', place('verbs/blobs')])).status).toBe(2)
    })

    test('manifests: get, head, put by tag and by digest', async () => {
      const index = await sampleIndex(cx, { seed: 'manifests' })
      await copy(cx, index.source, index.descriptor, open('verbs/manifests:1'), { name: '1' })
      const raw = await must(['manifest', 'get', `docker://${place('verbs/manifests:1')}`])
      expect(digestOf(raw)).toBe(index.descriptor.digest)
      expect(await must(['manifest', 'head', `docker://${place('verbs/manifests:1')}`])).toBe(`${index.descriptor.digest}\n`)
      const one = await must(['manifest', 'get', '--platform', 'linux/arm64', `docker://${place('verbs/manifests:1')}`])
      expect(index.images.map(({ descriptor }) => descriptor.digest)).toContain(digestOf(one))

      // The same content in another form is another manifest.
      const spaced = `${raw}\n`
      expect(await must(['manifest', 'put', place('verbs/manifests:2')], spaced)).toBe(`${digestOf(spaced)}\n`)
      expect(await must(['image', 'digest', `docker://${place('verbs/manifests:2')}`])).toBe(`${digestOf(spaced)}\n`)
      const other = `${raw} `
      await must(['manifest', 'put', '--by-digest', place('verbs/manifests')], other)
      expect(await must(['manifest', 'get', `docker://${place('verbs/manifests')}@${digestOf(other)}`])).toBe(other)
      expect((await must(['repo', 'tags', place('verbs/manifests')])).trim().split('\n').toSorted()).toEqual(['1', '2'])
      expect((await stave(['manifest', 'put', `${place('verbs/manifests')}@${digestOf('else')}`], raw)).status).toBe(1)
      expect((await stave(['manifest', 'put', place('verbs/manifests:3')], '{"not": "one"}')).status).toBe(1)
      expect((await stave(['manifest', 'get', `docker://${place('verbs/manifests:4')}`])).status).toBe(2)
    })

    test('repositories and tags are listed, in crane’s words too', async () => {
      const image = await sampleImage(cx, { seed: 'listed' })
      for (const tag of ['1', '2', `sha256-${'0'.repeat(64)}.sig`])
        await copy(cx, image.source, image.descriptor, open('verbs/listed'), { name: tag })
      expect((await must(['repo', 'ls', during.host])).split('\n')).toContain('verbs/listed')
      expect((await must(['catalog', '--full-ref', `https://${during.host}/`])).split('\n')).toContain(place('verbs/listed'))
      expect((await must(['repo', 'tags', '-O', place('verbs/listed')])).trim().split('\n').toSorted()).toEqual(['1', '2'])
      expect(JSON.parse(await must(['tag', 'ls', '--json', `docker://${place('verbs/listed')}`]))).toMatchObject({ name: 'verbs/listed' })
      expect((await must(['repo', 'tags', '--full-ref', place('verbs/listed')])).split('\n')).toContain(place('verbs/listed:1'))
    })

    test('a tag is added, and taken away alone', async () => {
      const image = await sampleImage(cx, { seed: 'tags' })
      await copy(cx, image.source, image.descriptor, open('verbs/tags'), { name: '1' })
      await must(['tag', `docker://${place('verbs/tags:1')}`, 'a', `docker://${place('verbs/tags:b')}`, 'c'])
      expect((await must(['repo', 'tags', place('verbs/tags')])).trim().split('\n').toSorted()).toEqual(['1', 'a', 'b', 'c'])
      await must(['tag', 'delete', `docker://${place('verbs/tags:a')}`])
      await must(['untag', `docker://${place('verbs/tags:1')}`, 'b', 'c'])
      expect((await must(['repo', 'tags', place('verbs/tags')])).trim()).toBe('1')
      expect(await must(['digest', '--full-ref', `docker://${place('verbs/tags:1')}`])).toBe(
        `${place('verbs/tags')}@${image.descriptor.digest}\n`,
      )
      expect((await stave(['untag', `docker://${place('verbs/tags:nothing')}`])).status).not.toBe(0)
      expect((await stave(['tag', `docker://${place('verbs/tags:1')}`, `docker://${place('verbs/other:1')}`])).status).toBe(2)
    })

    test('a manifest is deleted with all its tags, and with what refers to it', async () => {
      const image = await sampleImage(cx, { seed: 'doomed' })
      const repository = open('verbs/doomed')
      await copy(cx, image.source, image.descriptor, repository, { name: '1' })
      const about = JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        artifactType: 'application/x-test',
        config: image.manifest.config,
        layers: [],
        subject: image.descriptor,
      })
      await must(['manifest', 'put', '--by-digest', place('verbs/doomed')], about)
      const deleted = await must(['manifest', 'delete', '--referrers', place('verbs/doomed:1')])
      expect(deleted).toBe(`${digestOf(about)}\n${image.descriptor.digest}\n`)
      expect((await stave(['manifest', 'head', `docker://${place('verbs/doomed:1')}`])).status).toBe(2)
      expect((await stave(['manifest', 'get', `docker://${place('verbs/doomed')}@${digestOf(about)}`])).status).toBe(2)
    })

    test('an image is read whole: config, digest of a platform, and whether it is sound', async () => {
      const index = await sampleIndex(cx, { seed: 'whole' })
      await copy(cx, index.source, index.descriptor, open('verbs/whole'), { name: '1' })
      const there = `docker://${place('verbs/whole:1')}`
      const amd64 = index.images.find(({ descriptor }) => descriptor.platform?.architecture === 'amd64')!
      expect((await must(['image', 'digest', '--platform', 'linux/amd64', there])).trim()).toBe(amd64.descriptor.digest)
      expect(digestOf(await must(['image', 'config', '--platform', 'linux/amd64', there]))).toBe(amd64.manifest.config.digest)
      expect(await must(['image', 'validate', there])).toBe(`${index.descriptor.digest} is sound\n`)
    })
  })
}
