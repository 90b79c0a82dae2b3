import { expect, test } from 'vitest'
import { parseHeader } from './packages/rpm.ts'
import { parseRelease, readPackages } from './sbom.ts'
import { spdx } from './spdx.ts'

const debian = parseRelease('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n')

test('the release', () => {
  expect(debian).toEqual({ id: 'debian', version: '12' })
})

test.each([
  [
    '/var/lib/dpkg/status',
    'Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u7\nArchitecture: amd64\nMaintainer: GNU Libc\nDescription: x\n y: z\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n',
    [['libc6', '2.36-9+deb12u7', 'pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12']],
  ],
  [
    '/var/lib/dpkg/status.d/base',
    'Package: base-files\nVersion: 12\n',
    [['base-files', '12', 'pkg:deb/debian/base-files@12?distro=debian-12']],
  ],
  [
    '/lib/apk/db/installed',
    'C:Q1\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nF:lib\n\nP:zlib\nV:1.3\n',
    [
      ['musl', '1.2.4-r2', expect.stringContaining('pkg:apk/debian/musl@')],
      ['zlib', '1.3', expect.anything()],
    ],
  ],
  ['/app/node_modules/@a/b/package.json', '{"name":"@a/b","version":"1.0.0","license":"MIT"}', [['@a/b', '1.0.0', 'pkg:npm/%40a/b@1.0.0']]],
  ['/app/node_modules/c/package.json', 'not json', []],
  ['/app/node_modules/c/package.json', '{"name":"","version":"1"}', []],
  ['/app/node_modules/c/package.json', '{"name":"a b","version":"1"}', [['a b', '1', 'pkg:npm/a%20b@1']]],
  ['/app/node_modules/c/package.json', '{"name":"\\ud800","version":"1"}', [['\ud800', '1', 'pkg:npm/%EF%BF%BD@1']]],
  ['/var/lib/dpkg/status', 'Package: \nVersion: 1\n', []],
  ['/lib/apk/db/installed', 'P:\nV:1\n', []],
  ['/app/node_modules/c/package.json', '[]', []],
  [
    '/usr/lib/python3/Foo.Bar-1.dist-info/METADATA',
    'Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1\n\nName: not this\n',
    [['Foo.Bar', '1', 'pkg:pypi/foo-bar@1']],
  ],
  ['/usr/lib/python3/dist-packages/old-3.egg-info', 'Metadata-Version: 1.0\nName: old\nVersion: 3\n', [['old', '3', 'pkg:pypi/old@3']]],
  ['/etc/other', 'Package: x\nVersion: 1\n', []],
])('packages of %s', async (path, text, expected) => {
  const packages = await readPackages(path, Buffer.from(text), debian)
  expect(packages.map(({ name, version, url }) => [name, version, url])).toEqual(expected)
})

test('an RPM header, and bytes that are none', () => {
  const data = Buffer.concat([Buffer.from('bash'), Buffer.of(0), Buffer.from('5.2'), Buffer.of(0)])
  const entry = (tag: number, offset: number): number[] => [tag, 6, offset, 1]
  const numbers = [2, data.length, ...entry(1000, 0), ...entry(1001, 5)]
  const head = Buffer.alloc(numbers.length * 4)
  numbers.forEach((value, at) => head.writeUInt32BE(value, at * 4))
  expect(parseHeader(Buffer.concat([head, data]))).toEqual({ name: 'bash', version: '5.2' })
  expect(parseHeader(Buffer.alloc(3))).toEqual({})
  expect(parseHeader(Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 1]))).toEqual({})
})

test('SPDX: only a license that is an expression is told as one', () => {
  const document = spdx('demo', 'ab', '2026-01-01T00:00:00.000Z', [
    { name: 'a', version: '1', url: 'pkg:npm/a@1', from: '/x', license: 'MIT OR Apache-2.0' },
    { name: 'b', version: '1', url: 'pkg:npm/b@1', from: '/x', license: 'see the file' },
  ]) as { packages: { licenseDeclared: string }[]; relationships: unknown[]; creationInfo: { created: string } }
  expect(document.packages.map(({ licenseDeclared }) => licenseDeclared)).toEqual(['NOASSERTION', 'MIT OR Apache-2.0', 'NOASSERTION'])
  expect(document.relationships).toHaveLength(3)
  expect(document.creationInfo.created).toBe('2026-01-01T00:00:00Z')
})
