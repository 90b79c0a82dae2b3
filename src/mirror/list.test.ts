import { expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { formatReference } from '#oci/reference.ts'
import { parseList } from './list.ts'

const digest = `sha256:${'0'.repeat(32)}${'1'.repeat(32)}`
const tags = ['1.13.1-alpine-perl', '1.13.2-alpine-perl', '1.13.3-alpine-perl', '1.13.1', '1.14.0', 'V2']

/** What is wanted, with tags for `matching`. */
function wanted(text: string): unknown {
  return parseList(text, 'sync.yml').registries.flatMap((registry) =>
    registry.wanted.map(({ repository, choice }) => [
      formatReference(repository),
      choice.kind === 'all' ? 'all' : choice.kind === 'names' ? choice.names : { matching: tags.filter((tag) => choice.accepts(tag)) },
    ]),
  )
}

test("the manual's example", () => {
  const text = `
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - "2.0"
            - "${digest}"
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 1.13.2"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
`
  expect(wanted(text)).toEqual([
    ['registry.example.com/busybox', 'all'],
    ['registry.example.com/redis', ['1.0', '2.0', digest]],
    ['registry.example.com/nginx', { matching: ['1.13.1-alpine-perl', '1.13.2-alpine-perl'] }],
    ['registry.example.com/alpine', { matching: ['1.14.0'] }],
    ['quay.io/coreos/etcd', ['latest']],
  ])
  const { registries, unknown } = parseList(text, 'sync.yml')
  expect(unknown).toEqual([])
  expect(registries[0]).toMatchObject({
    name: 'registry.example.com',
    tlsVerify: true,
    certDir: '/home/john/certs',
    credentials: { username: 'john', password: 'this is a secret' },
  })
  expect(registries[1]).toMatchObject({ tlsVerify: false })
  expect(registries[1]).not.toHaveProperty('credentials')
})

test.each<[string, string, unknown]>([
  ['tags that look like numbers', 'r.io: {images: {a: [1.10, 2, 1e3, 0x10]}}', [['r.io/a', ['1.10', '2', '1e3', '0x10']]]],
  ['words that look like truth', 'r.io: {images: {no: [yes]}}', [['r.io/no', ['yes']]]],
  ['nothing where the tags stand', 'r.io:\n  images:\n    a:\n', [['r.io/a', 'all']]],
  ['nothing at all', '', []],
  ['a registry with nothing', 'r.io:\n', []],
  ['Docker Hub', 'docker.io: {images: {busybox: []}}', [['docker.io/library/busybox', 'all']]],
  ['a path in the key', 'quay.io/acme: {images: {web: []}}', [['quay.io/acme/web', 'all']]],
  ['an expression anywhere in the tag', 'r.io: {images-by-tag-regex: {a: "14"}}', [['r.io/a', { matching: ['1.14.0'] }]]],
  ['flags of an expression', 'r.io: {images-by-tag-regex: {a: "(?i)^v"}}', [['r.io/a', { matching: ['V2'] }]]],
  [
    'an alias',
    'r.io: {images: {a: &t [x], b: *t}}',
    [
      ['r.io/a', ['x']],
      ['r.io/b', ['x']],
    ],
  ],
])('%s', (_, text, expected) => {
  expect(wanted(text)).toEqual(expected)
})

test('a key that means nothing is told, with its line', () => {
  expect(parseList('r.io:\n  tls-verify: true\n  image:\n    a: []\n', 'sync.yml').unknown).toEqual([{ key: 'r.io: image', line: 4 }])
})

test.each<[string, string, string, number | undefined]>([
  ['no YAML', 'r.io: [', 'cannot read sync.yml: ', 1],
  ['the same key twice', 'r.io: {}\nr.io: {}\n', 'cannot read sync.yml: Map keys must be unique', 2],
  ['a list of registries', '- r.io\n', 'cannot use sync.yml: it is not a map', 1],
  ['images that are a list', 'r.io:\n  images: [a]\n', 'cannot use sync.yml: r.io: images: it is not a map', 2],
  [
    'a tag that is none',
    'r.io:\n  images:\n    a: ["-x"]\n',
    'cannot use sync.yml: r.io: images: a: "-x" is neither a tag nor a digest',
    3,
  ],
  [
    'a tag in the repository',
    'r.io:\n  images:\n    a:1: []\n',
    'cannot use sync.yml: r.io: images: a:1: cannot use "r.io/a:1" as a repository',
    3,
  ],
  ['a bad name', 'r.io:\n  images:\n    A: []\n', 'cannot use sync.yml: r.io: images: A: cannot use "r.io/A"', 3],
  ['a bad expression', 'r.io:\n  images-by-tag-regex:\n    a: "("\n', 'r.io: images-by-tag-regex: a: "(" is not a regular expression', 3],
  ['a bad constraint', 'r.io:\n  images-by-semver:\n    a: latest\n', 'cannot use "latest" as a constraint', 3],
  ['truth that is none', 'r.io:\n  tls-verify: maybe\n', 'it is true or false, not "maybe"', 2],
])('%s is refused', (_, text, message, line) => {
  let error: unknown
  try {
    parseList(text, 'sync.yml')
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(StaveError)
  expect((error as StaveError).code).toBe('invalid-document')
  expect((error as StaveError).message).toContain(message)
  expect((error as StaveError).span?.line).toBe(line)
})

test('an alias that stands for too much is refused', () => {
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef'])
    lines.push(`${to}: &${to} [${Array.from({ length: 10 }, () => `*${from}`).join(', ')}]`)
  expect(() => parseList(lines.join('\n'), 'sync.yml')).toThrow('cannot read sync.yml')
})
