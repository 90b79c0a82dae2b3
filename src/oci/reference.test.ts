import { describe, expect, test } from 'vitest'
import { familiarName, formatReference, isTag, parseReference } from './reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

// From the tables of distribution/reference's grammar and of Docker's documentation.
const good: readonly (readonly [text: string, full: string, familiar: string])[] = [
  ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['debian:12', 'docker.io/library/debian:12', 'debian:12'],
  ['library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['index.docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['index.docker.io/acme/web:1', 'docker.io/acme/web:1', 'acme/web:1'],
  ['docker.io/library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
  ['acme/web', 'docker.io/acme/web:latest', 'acme/web:latest'],
  ['ghcr.io/acme/web:1.2', 'ghcr.io/acme/web:1.2', 'ghcr.io/acme/web:1.2'],
  ['localhost/web', 'localhost/web:latest', 'localhost/web:latest'],
  ['localhost:5000/web', 'localhost:5000/web:latest', 'localhost:5000/web:latest'],
  ['localhost:5000/web:5000', 'localhost:5000/web:5000', 'localhost:5000/web:5000'],
  ['127.0.0.1:5000/a/b:c', '127.0.0.1:5000/a/b:c', '127.0.0.1:5000/a/b:c'],
  ['[::1]:5000/web', '[::1]:5000/web:latest', '[::1]:5000/web:latest'],
  ['[2001:db8::1]/web:v1', '[2001:db8::1]/web:v1', '[2001:db8::1]/web:v1'],
  ['Host/web', 'Host/web:latest', 'Host/web:latest'],
  ['xn--n3h.com/web', 'xn--n3h.com/web:latest', 'xn--n3h.com/web:latest'],
  ['a/b__c/d-e--f.g_h', 'docker.io/a/b__c/d-e--f.g_h:latest', 'a/b__c/d-e--f.g_h:latest'],
  ['0', 'docker.io/library/0:latest', '0:latest'],
  ['test.com:8080/repo', 'test.com:8080/repo:latest', 'test.com:8080/repo:latest'],
  ['test:5000', 'docker.io/library/test:5000', 'test:5000'],
  [`debian@${digest}`, `docker.io/library/debian@${digest}`, `debian@${digest}`],
  [`debian:12@${digest}`, `docker.io/library/debian:12@${digest}`, `debian:12@${digest}`],
  [`localhost:5000/x@${digest}`, `localhost:5000/x@${digest}`, `localhost:5000/x@${digest}`],
  ['debian:_a.B-9', 'docker.io/library/debian:_a.B-9', 'debian:_a.B-9'],
  [`debian:${'t'.repeat(128)}`, `docker.io/library/debian:${'t'.repeat(128)}`, `debian:${'t'.repeat(128)}`],
  [`ghcr.io/${'r'.repeat(255)}`, `ghcr.io/${'r'.repeat(255)}:latest`, `ghcr.io/${'r'.repeat(255)}:latest`],
]

const bad: readonly (readonly [text: string, reason: RegExp])[] = [
  ['', /empty/],
  [':latest', /repository/],
  ['docker.io/', /repository/],
  ['Debian', /lower case/],
  ['acme/Web', /lower case/],
  ['a//b', /not a repository/],
  ['/a', /not a host name|not a repository/],
  ['a/', /not a repository/],
  ['-a', /not a repository/],
  ['a_', /not a repository/],
  ['a___b', /not a repository/],
  ['a..b', /not a repository/],
  ['a b', /not a repository/],
  ['debian:', /not a tag/],
  ['debian:-a', /not a tag/],
  ['debian:.a', /not a tag/],
  ['debian:a/b:c:d', /not/],
  [`debian:${'t'.repeat(129)}`, /not a tag/],
  ['debian@', /not a digest/],
  ['debian@sha256:abc', /not a digest/],
  [`debian@${digest}@${digest}`, /not a digest/],
  ['debian@md5:d41d8cd98f00b204e9800998ecf8427e', /not a digest/],
  ['a'.repeat(64).replaceAll('a', 'f'), /identifier/],
  [`ghcr.io/${'r'.repeat(256)}`, /255/],
  ['-host.com/a', /host name/],
  ['host:port/a', /host name/],
  ['https://ghcr.io/a', /host name|not a repository/],
  ['[fe80::1%eth0]:5000/x', /host name/],
  ['../a', /host name|repository/],
  ['docker.io/../../etc', /repository/],
  ['a\n', /repository/],
]

describe('references', () => {
  test.each(good)('%s', (text, full, familiar) => {
    const reference = parseReference(text)
    expect(formatReference(reference)).toBe(full)
    expect(familiarName(reference)).toBe(familiar)
    // Both forms mean the same again.
    expect(parseReference(full)).toEqual(reference)
    expect(parseReference(familiar)).toEqual(reference)
  })

  test.each(bad)('%j is refused', (text, reason) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'invalid-reference', message: expect.stringMatching(reason) as string }) as Error,
    )
  })

  test('upper case has a suggestion', () => {
    expect(() => parseReference('ghcr.io/Acme/Web:1')).toThrow(
      expect.objectContaining({ hint: 'Did you mean "ghcr.io/acme/web:1"?' }) as Error,
    )
  })

  test('parsing takes no longer than its input is long', () => {
    const started = performance.now()
    for (const evil of ['a'.repeat(100_000), `${'a-'.repeat(50_000)}!`, `${'a_'.repeat(50_000)}!/x`, `${'a.'.repeat(50_000)}!/x`])
      expect(() => parseReference(evil)).toThrow()
    expect(performance.now() - started).toBeLessThan(2000)
  })

  test('tags', () => {
    expect(isTag('v1.2-rc_3')).toBe(true)
    expect(isTag('sha256:abc')).toBe(false)
  })
})
