import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parseHosts } from '#registry/client/hosts.ts'
import { parseFlags } from '../parse.ts'
import type { Command, Values } from '../command.ts'
import { readSettings } from '../settings.ts'
import { kanikoFlags } from './kaniko-flags.ts'
import { kanikoCertificates, withKanikoRegistries } from './kaniko-registries.ts'

const directory = mkdtempSync(join(tmpdir(), 'stave-kaniko-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
for (const name of ['one.pem', 'two.pem', 'cert.pem', 'key.pem']) writeFileSync(join(directory, name), name)

const flags = (...words: readonly string[]) =>
  parseFlags({ name: 'kaniko', operands: '', flags: kanikoFlags } as unknown as Command, {}, words).values as Values<typeof kanikoFlags>
const settings = { ...readSettings({}, {}), cwd: directory }

test('certificates by host, several of them', () => {
  const given = ['--registry-certificate', 'r.example:5000=one.pem', '--registry-certificate=r.example:5000=two.pem']
  const client = ['--registry-client-cert', 'r.example:5000=cert.pem,key.pem', '--registry-client-cert', 's.example=cert.pem,key.pem']
  const pair = { certificate: 'cert.pem', key: 'key.pem' }
  expect([...kanikoCertificates(flags(...given, ...client), settings)]).toEqual([
    ['r.example:5000', { authorities: ['one.pem', 'two.pem'], client: pair }],
    ['s.example', { authorities: [], client: pair }],
  ])
})

test.each([
  ['--registry-certificate', 'one.pem', 'takes HOST=FILE, not "one.pem"'],
  ['--registry-certificate', 'h=', 'takes HOST=FILE'],
  ['--registry-certificate', 'h=none.pem', 'cannot read none.pem'],
  ['--registry-client-cert', 'h=cert.pem', 'takes HOST=CERTIFICATE,KEY'],
])('%s %s is refused', (flag, value, message) => {
  expect(() => kanikoCertificates(flags(flag, value), settings)).toThrow(message)
})

test('mirrors are asked first; with --skip-default-registry-fallback they alone', () => {
  const asked = (...words: readonly string[]) =>
    withKanikoRegistries(flags(...words))(parseHosts([]))
      .endpoints('docker.io', 'library/debian', '12')
      .map(({ registry }) => registry)
  expect(asked('--registry-mirror', 'm.example')).toEqual(['m.example', 'docker.io'])
  expect(asked('--registry-mirror', 'm.example', '--skip-default-registry-fallback')).toEqual(['m.example'])
  expect(asked('--skip-default-registry-fallback')).toEqual(['docker.io'])
})
