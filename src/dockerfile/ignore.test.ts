import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { ignoreMatcher, matchIgnore, parseIgnore } from './ignore.ts'

describe('the file', () => {
  test.each<[string, string, string[]]>([
    ['one pattern a line', 'a\nb', ['a', 'b']],
    ['CRLF', 'a\r\nb\r\n', ['a', 'b']],
    ['a byte order mark', '\ufeffa', ['a']],
    ['a comment in the first column', '# a\n#b\nc', ['c']],
    ['an indented # is a pattern', ' #a', ['#a']],
    ['a comment after a byte order mark', '\ufeff# a\nb', ['b']],
    ['blank lines', '\n  \n\t\na', ['a']],
    ['blanks around', '  a b  ', ['a b']],
    ['a leading slash', '/a/b', ['a/b']],
    ['several', '//a', ['a']],
    ['a trailing slash', 'a/', ['a']],
    ['dots', './a/../b//c', ['b/c']],
    ['above the root', '../a', ['../a']],
    ['a negation', '!a', ['!a']],
    ['a negation with blanks', '!  /a/ ', ['!a']],
    ['an escaped exclamation mark', '\\!a', ['\\!a']],
    ['a slash before the exclamation mark does not protect it', '/!a', ['!a']],
    ['the root', '/', ['/']],
    ['the dot', '.', ['.']],
    ['a blank before the trailing slash', 'a /', ['a']],
  ])('%s', (_name, text, expected) => {
    expect(parseIgnore(text).map(({ pattern, negated }) => (negated ? '!' : '') + pattern)).toEqual(expected)
  })

  test('lines are counted', () => {
    expect(parseIgnore('# x\n\na\n!b').map(({ line }) => line)).toEqual([3, 4])
  })

  test.each(['!', '! ', '!/', '/!', '[', 'a[', '[]', '[]a]', '[a', '[a-', '[a-]', '[-a]', '[^', '[z-a]', 'a\\', '[\\'])(
    '%j: an error with its line',
    (text) => {
      let error: unknown
      try {
        parseIgnore(`ok\n${text}`, 'x/.dockerignore')
      } catch (caught) {
        error = caught
      }
      expect(error).toBeInstanceOf(StaveError)
      expect(error).toMatchObject({ code: 'dockerfile', span: { file: 'x/.dockerignore', line: 2 } })
    },
  )
})

describe('matching', () => {
  test.each<[string, string, boolean]>([
    // exact
    ['a', 'a', true],
    ['a', 'ab', false],
    ['a', 'b/a', false],
    ['a/b', 'a/b', true],
    ['a/b', 'a', false],
    ['A', 'a', false],
    // what is below a match
    ['a', 'a/b', true],
    ['a', 'a/b/c/d', true],
    ['a/b', 'a/b/c', true],
    ['a*', 'ab/c', true],
    // * and ?
    ['*', 'a', true],
    ['*', '.a', true],
    ['*', 'a/b', true],
    ['*/b', 'a/b', true],
    ['*/b', 'a/c', false],
    ['*/b', 'a/c/b', false],
    ['a*c', 'abc', true],
    ['a*c', 'ac', true],
    ['a*c', 'a/c', false],
    ['*.md', 'README.md', true],
    ['*.md', 'docs/README.md', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['a?c', 'a/c', false],
    ['?', 'é', true],
    ['?', '😀', true],
    // ** before something
    ['**/a', 'a', true],
    ['**/a', 'b/a', true],
    ['**/a', 'b/c/a', true],
    ['**/a', 'ba', false],
    ['**/a', 'b/a/c', true],
    ['**/*.md', 'README.md', true],
    ['**/*.md', 'a/b/README.md', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['a/**/b', 'a/xb', false],
    ['a/**/b', 'ab', false],
    ['a**b', 'ab', true],
    ['a**b', 'ax/b', true],
    ['a**b', 'axb', false],
    ['**/a/**/b', 'x/a/y/b', true],
    ['**/a*', 'x/y/ab/c', true],
    ['**/?', 'abc/d', true],
    // ** at the end
    ['a/**', 'a/b', true],
    ['a/**', 'a/b/c', true],
    ['a/**', 'a', false],
    ['a/**', 'ab', false],
    ['a**', 'ab', true],
    ['a**', 'a/b', true],
    ['a**', 'a', true],
    ['**', 'a', true],
    ['**', 'a/b', true],
    ['**/', 'a/b', true],
    ['**/**', 'a/b', true],
    ['a/**/**', 'a/b', true],
    ['*/**', 'a/b', true],
    ['*/**', 'a', false],
    // ** at the start, then plain text: it ends so
    ['**foo', 'foo', true],
    ['**foo', 'xfoo', true],
    ['**foo', 'a/xfoo', true],
    ['**foo', 'a/foob', false],
    ['**foo', 'a/foo/b', true],
    ['**.txt', 'a/b.txt', true],
    ['**/.git', '.git', true],
    ['**/.git', 'a/.git/config', true],
    ['**/.git', 'a/x.git', false],
    // classes
    ['[a-c]', 'b', true],
    ['[a-c]', 'd', false],
    ['[^a-c]', 'd', true],
    ['[^a-c]', 'a', false],
    ['[abc]x', 'bx', true],
    ['[!a]', '!', true],
    ['[!a]', 'b', false],
    ['[\\]]', ']', true],
    ['[\\^a]', '^', true],
    ['*[0-9]', 'log1', true],
    ['a]', 'a]', true],
    // escapes and what is special elsewhere
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['\\!a', '!a', true],
    ['a\\[b', 'a[b', true],
    ['a.b', 'axb', false],
    ['a+', 'a+', true],
    ['a+', 'aa', false],
    ['(a)*', '(a)b', true],
    ['a$*', 'a$b', true],
    ['*|*', 'a', false],
    ['*|*', 'a|b', true],
    ['{a,b}*', 'a', false],
    ['x{2}*', 'xx', false],
    ['^a*', 'a', false],
    ['*^*', 'a^b', true],
    ['\\d*', '5', false],
    ['\\d*', 'd', true],
    // the root
    ['.', 'a', false],
    ['/', 'a', false],
    ['**', '.', false],
    ['*', '', false],
    // what lies outside
    ['../a', 'a', false],
  ])('%s on %s: %s', (pattern, path, expected) => {
    expect(matchIgnore(parseIgnore(pattern), path)).toBe(expected)
  })

  test.each<[string, string, boolean]>([
    ['*\n!a', 'a', false],
    ['*\n!a', 'b', true],
    ['!a\n*', 'a', true],
    ['dir\n!dir/keep', 'dir/keep', false],
    ['dir\n!dir/keep', 'dir/keep/below', false],
    ['dir\n!dir/keep', 'dir/other', true],
    ['dir\n!dir/keep', 'dir', true],
    ['dir\n!dir/keep\ndir/keep/not', 'dir/keep/not', true],
    ['dir\n!dir/keep\ndir/keep/not', 'dir/keep/yes', false],
    ['*\n!src/**', 'src', true],
    ['*\n!src/**', 'src/a/b', false],
    ['**/*.md\n!README.md', 'README.md', false],
    ['**/*.md\n!README.md', 'docs/README.md', true],
    ['*.md\n!README*.md\nREADME-secret.md', 'README-secret.md', true],
    ['a\n!a\na', 'a', true],
    ['!a', 'a', false],
  ])('%j on %s: %s', (text, path, expected) => {
    expect(matchIgnore(parseIgnore(text), path)).toBe(expected)
  })

  test('paths are cleaned', () => {
    for (const path of ['/a/b', './a/b', 'a//b', 'a/x/../b', 'a/b/']) expect(matchIgnore(parseIgnore('a/b'), path)).toBe(true)
  })

  test('the line that leaves something out is known', () => {
    const matcher = ignoreMatcher(parseIgnore('# x\n*.log\n!keep.log\nkeep*\n'))
    expect(matcher.excludedBy('a.log')?.line).toBe(2)
    expect(matcher.excludedBy('keep.log')?.line).toBe(4)
    expect(matcher.excludedBy('b')).toBeUndefined()
  })
})

describe('bad input', { timeout: 30_000 }, () => {
  test('patterns that explode elsewhere', () => {
    const started = performance.now()
    const deep = 'a/'.repeat(2000)
    for (const pattern of ['**/a*'.repeat(200), '*a'.repeat(2000), '**a'.repeat(500), `${'a*'.repeat(500)}b`, '[a-z]*'.repeat(500)]) {
      const matcher = ignoreMatcher(parseIgnore(`${pattern}z\n`))
      expect(matcher.ignores('a'.repeat(4000))).toBe(false)
      expect(matcher.ignores(deep)).toBe(false)
    }
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  test('10,000 patterns', () => {
    const matcher = ignoreMatcher(parseIgnore(Array.from({ length: 10_000 }, (_, i) => `**/dir${i}/*.tx?`).join('\n')))
    const started = performance.now()
    for (let i = 0; i < 200; i++) expect(matcher.ignores(`a/b/dir${i}/x.txt`)).toBe(true)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  test('every text is read or refused with an error of ours, and a pattern for itself matches', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '*',
      '**',
      '?',
      '/',
      '[',
      ']',
      '[a-b]',
      '[^a]',
      '\\',
      '!',
      '.',
      '..',
      ' ',
      '#',
      '\n',
      '\r',
      'é',
      '|',
      '$',
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 20 }),
        fc.array(fc.constantFrom('a', 'b', '.', '/', '*'), { maxLength: 10 }),
        (parts, path) => {
          try {
            ignoreMatcher(parseIgnore(parts.join(''))).ignores(path.join(''))
          } catch (error) {
            expect(error).toBeInstanceOf(StaveError)
          }
        },
      ),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z.*?[\]]{1,10}$/), (name) => {
        const pattern = name.replace(/[*?[\]\\]/g, '\\$&')
        expect(matchIgnore(parseIgnore(pattern), name)).toBe(name !== '.')
      }),
    )
  })
})
