import { describe, expect, test } from 'vitest'
import { fileNameOf, isGitUrl, parseContext, parseGitUrl } from './source-url.ts'

test.each([
  ['.', { kind: 'directory', path: '.' }],
  ['../a b', { kind: 'directory', path: '../a b' }],
  ['ctx.tar.gz', { kind: 'directory', path: 'ctx.tar.gz' }],
  ['-', { kind: 'stdin' }],
  ['https://example.com/r.git', { kind: 'git', url: 'https://example.com/r.git' }],
  ['https://example.com/r.git#main:sub', { kind: 'git', url: 'https://example.com/r.git#main:sub' }],
  ['git@example.com:a/b', { kind: 'git', url: 'git@example.com:a/b' }],
  ['github.com/a/b', { kind: 'git', url: 'https://github.com/a/b' }],
  ['https://example.com/r.tar', { kind: 'http', url: 'https://example.com/r.tar' }],
  ['docker-image://alpine:3', { kind: 'image', location: 'alpine:3' }],
  ['oci-layout://./dir:tag', { kind: 'image', location: 'oci:./dir:tag' }],
])('context %s', (text, expected) => {
  expect(parseContext(text)).toEqual(expected)
})

test.each(['target:x', 'ftp://example.com/x'])('context %s is refused', (text) => {
  expect(() => parseContext(text)).toThrow()
})

test.each([
  ['https://example.com/a.git', true],
  ['https://example.com/a.git?ref=v1', true],
  ['https://example.com/a.git/raw/file', false],
  ['https://example.com/a', false],
  ['ssh://git@example.com/a', true],
  ['git://example.com/a', true],
  ['file.git', false],
])('%s is git: %s', (text, expected) => {
  expect(isGitUrl(text)).toBe(expected)
})

describe('git URLs', () => {
  test('fragment and query', () => {
    expect(parseGitUrl('https://h/r.git')).toMatchObject({ remote: 'https://h/r.git', ref: undefined, subdir: undefined, submodules: true })
    expect(parseGitUrl('https://h/r.git#v1:a/b')).toMatchObject({ remote: 'https://h/r.git', ref: 'v1', subdir: 'a/b' })
    expect(parseGitUrl('https://h/r.git#:sub')).toMatchObject({ ref: undefined, subdir: 'sub' })
    expect(parseGitUrl('https://h/r.git?tag=v1&subdir=s&submodules=false&keep-git-dir=1&checksum=abcdef1')).toMatchObject({
      remote: 'https://h/r.git',
      ref: 'refs/tags/v1',
      subdir: 's',
      submodules: false,
      keepGitDir: true,
      checksum: 'abcdef1',
    })
  })

  test.each([
    ['?branch=refs/heads/x', { ref: 'refs/heads/x' }],
    ['?branch=x&commit=abcdef1', { ref: 'refs/heads/x', checksum: 'abcdef1' }],
    ['?ref=x#x:sub', { ref: 'x', subdir: 'sub' }],
    ['?keep-git-dir', { keepGitDir: true }],
    ['?keep-git-dir=F', { keepGitDir: false }],
    ['?submodules=0', { submodules: false }],
    ['?mtime=commit', { mtime: 'commit' }],
    ['', { mtime: 'checkout', fetchByCommit: false }],
    ['?fetch-by-commit&checksum=abcdef1', { fetchByCommit: true, checksum: 'abcdef1' }],
  ])('%s', (query, expected) => {
    expect(parseGitUrl(`https://h/r.git${query}`)).toMatchObject(expected)
  })

  test('a refusal shows no password', () => {
    expect(() => parseGitUrl('https://user:pw@h/r.git?nope=1')).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('pw') }),
    )
  })

  test.each([
    ['an option as a ref', 'https://h/r.git#--upload-pack=x'],
    ['a refspec', 'https://h/r.git?ref=a:b'],
    ['a glob', 'https://h/r.git#*'],
    ['a range', 'https://h/r.git#a..b'],
    ['a newline', 'https://h/r.git#a\nb'],
    ['an unknown query key', 'https://h/r.git?nope=1'],
    ['a contradiction', 'https://h/r.git?ref=a#b'],
    ['a branch and a tag', 'https://h/r.git?branch=a&tag=a'],
    ['a key twice', 'https://h/r.git?ref=a&ref=b'],
    ['a key without a value', 'https://h/r.git?ref='],
    ['a flag that is neither', 'https://h/r.git?submodules=maybe'],
    ['an mtime that is none', 'https://h/r.git?mtime=now'],
    ['an option as the remote', '--upload-pack=x'],
  ])('%s is refused', (_name, text) => {
    expect(() => parseGitUrl(text)).toThrow(expect.objectContaining({ code: 'usage' }))
  })
})

test.each([
  ['https://h/a/b.txt?x=1#y', 'b.txt'],
  ['https://h/a/', 'a'],
  ['https://h/a//', 'a'],
  ['https://h/', '__unnamed__'],
  ['https://h/a%2Fb', 'b'],
  ['https://h/a%zzb', 'a%zzb'],
  ['https://h/a/..%2f', '__unnamed__'],
  ['https://h', '__unnamed__'],
  ['https://h/a%20b', 'a b'],
  ['https://h/..%2fetc', 'etc'],
  ['https://h/%2e%2e', '__unnamed__'],
])('the file of %s is called %s', (url, name) => {
  expect(fileNameOf(url)).toBe(name)
})
