import { expect, test } from 'vitest'
import { digestOf } from '#oci/digest.ts'
import { formatPlace } from './plan.ts'
import { parsePlan } from './plan-file.ts'

const digest = digestOf('one')
const image = { from: 'docker://a.example/web:1', to: 'docker://b.example/web:1', digest, state: 'copy' }
const plan = (more: object = {}) =>
  JSON.stringify({ 'stave-sync-plan': 1, options: { all: true }, images: [image], deletions: [], ...more })

test('what is to be done is read, also what a person took out or put in', () => {
  const text = plan({
    options: { all: false, format: 'oci', referrers: true },
    list: '/etc/sync.yml',
    images: [
      { ...image, account: 'a.example' },
      { ...image, to: 'dir:/media/usb/web:1' },
      { ...image, state: 'present' },
    ],
    deletions: ['docker://b.example/web:old'],
  })
  const read = parsePlan(text, 'web.plan')
  expect(read).toMatchObject({ options: { all: false, format: 'oci', referrers: true }, list: '/etc/sync.yml' })
  expect(read.copies.map(({ pair }) => formatPlace(pair.to))).toEqual(['docker://b.example/web:1', 'dir:/media/usb/web:1'])
  expect(read.copies[0]).toMatchObject({ digest, pair: { from: { account: 'a.example' } } })
  expect(read.deletions).toMatchObject([{ registry: 'b.example', repository: 'web', tag: 'old' }])
})

test.each<[string, string, string]>([
  ['nothing', '', 'invalid-document'],
  ['half of it', plan().slice(0, 40), 'invalid-document'],
  ['another document', '{"images": []}', 'invalid-document'],
  ['a list', '[]', 'invalid-document'],
  ['another version', plan({ 'stave-sync-plan': 2 }), 'unsupported'],
  ['no images', plan({ images: undefined }), 'invalid-document'],
  ['an image that is none', plan({ images: [1] }), 'invalid-document'],
  ['no digest', plan({ images: [{ ...image, digest: 'sha256:1' }] }), 'invalid-document'],
  ['a place of another transport', plan({ images: [{ ...image, to: 'oci:/x' }] }), 'invalid-document'],
  ['a relative directory', plan({ images: [{ ...image, to: 'dir:x' }] }), 'invalid-document'],
  ['a directory that leads up', plan({ images: [{ ...image, to: 'dir:/a/../etc' }] }), 'invalid-document'],
  ['a short name', plan({ images: [{ ...image, from: 'docker://web:1' }] }), 'invalid-document'],
  ['a name with ..', plan({ images: [{ ...image, to: 'docker://b.example/../web:1' }] }), 'invalid-reference'],
  ['a format that is none', plan({ options: { format: 'rar' } }), 'invalid-document'],
  ['a deletion without a tag', plan({ deletions: [`docker://b.example/web@${digest}`] }), 'invalid-document'],
  ['a deletion of a directory', plan({ deletions: ['dir:/home'] }), 'invalid-document'],
])('refused: %s', (_, text, code) => {
  expect(() => parsePlan(text, 'web.plan')).toThrow(expect.objectContaining({ code }) as Error)
})
