import { describe, expect, test } from 'vitest'
import { defaultHostsPaths, parseHosts } from './hosts.ts'

const hosts = (...texts: readonly string[]) => parseHosts(texts.map((text, index) => ({ file: `${index}.conf`, text })))
const places = (text: string, registry: string, repository: string, tag?: string) =>
  hosts(text)
    .endpoints(registry, repository, tag)
    .map(
      (endpoint) =>
        `${endpoint.host}/${endpoint.repository}${endpoint.isInsecure ? ' insecure' : ''}${endpoint.isMirror ? ` mirror:${endpoint.serves}` : ''}`,
    )

describe('endpoints', () => {
  test('without configuration there is the registry itself', () => {
    expect(places('', 'ghcr.io', 'acme/web')).toEqual(['ghcr.io/acme/web'])
    expect(places('', 'docker.io', 'library/debian')).toEqual(['registry-1.docker.io/library/debian'])
  })

  test('mirrors come first, in their order', () => {
    const text = `
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.local:5000/hub"
insecure = true
[[registry.mirror]]
location = "other.example"
pull-from-mirror = "digest-only"
`
    expect(places(text, 'docker.io', 'library/debian')).toEqual([
      'mirror.local:5000/hub/library/debian insecure mirror:all',
      'other.example/library/debian mirror:digest-only',
      'registry-1.docker.io/library/debian',
    ])
  })

  test.each<[name: string, text: string, registry: string, repository: string, expected: string[]]>([
    ['a prefix is rewritten', 'prefix = "old.example/a"\nlocation = "new.example/b/c"', 'old.example', 'a/x', ['new.example/b/c/x']],
    ['a prefix ends at a slash', 'prefix = "old.example/a"\nlocation = "new.example"', 'old.example', 'abc/x', ['old.example/abc/x']],
    ['a prefix may be the whole name', 'prefix = "old.example/a/x"\nlocation = "new.example/y"', 'old.example', 'a/x', ['new.example/y']],
    [
      'a wildcard stands for subdomains',
      'prefix = "*.example.com"\ninsecure = true',
      'a.b.example.com',
      'x',
      ['a.b.example.com/x insecure'],
    ],
    ['but not for the domain', 'prefix = "*.example.com"\ninsecure = true', 'example.com', 'x', ['example.com/x']],
    ['nor for another that ends alike', 'prefix = "*.example.com"\ninsecure = true', 'notexample.com', 'x', ['notexample.com/x']],
    ['a wildcard with a location', 'prefix = "*.example.com"\nlocation = "one.example/p"', 'a.example.com', 'x', ['one.example/p/x']],
    ['a wildcard with a path', 'prefix = "*.example.com/team"\nlocation = "one.example"', 'a.example.com', 'team/x', ['one.example/x']],
  ])('%s', (_, rule, registry, repository, expected) => {
    expect(places(`[[registry]]\n${rule}\n`, registry, repository)).toEqual(expected)
  })

  test('the longest prefix wins, also one with a tag', () => {
    const text = `
[[registry]]
prefix = "r.example"
location = "one.example"
[[registry]]
prefix = "r.example/a"
location = "two.example"
[[registry]]
prefix = "r.example/a/b:v1"
location = "three.example/z"
`
    expect(places(text, 'r.example', 'x')).toEqual(['one.example/x'])
    expect(places(text, 'r.example', 'a/b', 'v2')).toEqual(['two.example/b'])
    expect(places(text, 'r.example', 'a/b', 'v1')).toEqual(['three.example/z'])
  })

  test('a blocked registry is refused, with the reason', () => {
    expect(() => places('[[registry]]\nlocation = "bad.example"\nblocked = true', 'bad.example', 'x')).toThrow(
      'the registry bad.example is blocked',
    )
  })
})

test('a later file replaces rules of the same prefix', () => {
  const found = hosts(
    '[[registry]]\nlocation = "r.example"\ninsecure = true',
    // Of names without a registry nothing is taken, whatever is written there.
    'unqualified-search-registries = ["b.example"]\n[aliases]\ny = "b.example/y"\n[[registry]]\nlocation = "r.example"',
  )
  expect(found.endpoints('r.example', 'x')[0]!.isInsecure).toBe(false)
})

test.each([
  ['a wrong type', '[[registry]]\nlocation = 5', 'registry.location is not a string'],
  ['a table instead of an array', '[registry]\nlocation = "x"', 'registry is not an array of tables'],
  [
    'an unknown word',
    '[[registry]]\nlocation = "x"\n[[registry.mirror]]\nlocation = "y"\npull-from-mirror = "never"',
    'not all, digest-only or tag-only',
  ],
  ['a rule for nothing', '[[registry]]\ninsecure = true', 'neither prefix nor location'],
  ['the first version of the format', '[registries.search]\nregistries = ["x"]', 'first version'],
])('%s is refused', (_, text, message) => {
  expect(() => hosts(text)).toThrow(message)
})

test('the default places follow the environment', () => {
  expect(defaultHostsPaths({}, { home: '/home/u' }).files[0]).toBe('/home/u/.config/containers/registries.conf')
  expect(defaultHostsPaths({ CONTAINERS_REGISTRIES_CONF: '/x' }, { home: '/home/u' })).toMatchObject({ files: ['/x'], dropIns: [] })
  expect(defaultHostsPaths({ XDG_CONFIG_HOME: '/c' }, { home: '/home/u' }).certificates[0]).toBe('/c/containers/certs.d')
})
