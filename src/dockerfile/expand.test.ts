import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { expand, expandForDisplay, expandHeredoc, expandWords } from './expand.ts'

const variables: Readonly<Record<string, string>> = {
  x: 'val',
  empty: '',
  path: '/usr/local/lib/file.tar.gz',
  spaces: 'a  b',
  lead: '  a b ',
  stars: '**a?*',
  repeat: 'abab',
  back: 'a\\b',
  lines: 'one\ntwo',
  '1': 'first',
  '12': 'twelve',
  été: 'summer',
  pat: '*l',
  _u: 'under',
  dollar: '$x',
  quote: '"q"',
  emoji: '😀😀',
}
const lookup = (name: string): string | undefined => (Object.hasOwn(variables, name) ? variables[name] : undefined)

describe('one word', () => {
  test.each<[string, string]>([
    // plain text
    ['', ''],
    ['abc', 'abc'],
    ['a b', 'a b'],
    ['héllo 日本', 'héllo 日本'],
    // names
    ['$x', 'val'],
    ['${x}', 'val'],
    ['a${x}b', 'avalb'],
    ['a$x.b', 'aval.b'],
    ['$xb', ''],
    ['$x$x', 'valval'],
    ['$_u', 'under'],
    ['$été', 'summer'],
    ['${été}', 'summer'],
    ['$unset', ''],
    ['a${unset}b', 'ab'],
    ['$empty', ''],
    // digits and special parameters
    ['$1', 'first'],
    ['$12', 'twelve'],
    ['$1x', 'firstx'],
    ['$123', ''],
    ['${1}', 'first'],
    ['$@a', 'a'],
    ['$*', ''],
    ['$#a', 'a'],
    ['$?', ''],
    ['$-', ''],
    ['$$', ''],
    ['$$x', 'x'],
    ['$!a', 'a'],
    ['$0', ''],
    ['${@}', ''],
    // a dollar that is none
    ['$', '$'],
    ['a$', 'a$'],
    ['$.', '$.'],
    ['$ x', '$ x'],
    ['$/x', '$/x'],
    ['$%', '$%'],
    // the value is not looked at again
    ['$dollar', '$x'],
    ['$quote', '"q"'],
    ['$back', 'a\\b'],
    // single quotes
    ["'$x'", '$x'],
    ["'a\\b'", 'a\\b'],
    [`'a"b'`, 'a"b'],
    ["a'b'c", 'abc'],
    ["''", ''],
    // double quotes
    ['"$x"', 'val'],
    ['"a b"', 'a b'],
    [`"a'b"`, "a'b"],
    ['"\\$x"', '$x'],
    ['"\\""', '"'],
    ['"\\\\"', '\\'],
    ['"\\a"', '\\a'],
    ['"\\\'"', "\\'"],
    ['"${x:-"y"}"', 'val'],
    ['"a$"', 'a$'],
    // escapes outside of quotes
    ['\\$x', '$x'],
    ['\\a', 'a'],
    ['\\\\', '\\'],
    ['\\\\$x', '\\val'],
    ['\\\\\\$x', '\\$x'],
    ['\\"', '"'],
    ["\\'$x\\'", "'val'"],
    ['a\\ b', 'a b'],
    ['a\\', 'a'],
    ['\\😀', '😀'],
    // other characters are ordinary
    ['a`b', 'a`b'],
    ['a{b}c', 'a{b}c'],
    ['a<b<<c << d', 'a<b<<c << d'],
    // ${x:-w} and ${x-w}
    ['${x:-w}', 'val'],
    ['${unset:-w}', 'w'],
    ['${empty:-w}', 'w'],
    ['${x-w}', 'val'],
    ['${unset-w}', 'w'],
    ['${empty-w}', ''],
    ['${unset:-}', ''],
    ['${unset-}', ''],
    ['${unset:-a b}', 'a b'],
    ['${unset:-$x}', 'val'],
    ['${unset:-${x}}', 'val'],
    ['${unset:-${also:-${x}!}}', 'val!'],
    ['${unset:-"a}b"}', 'a}b'],
    ["${unset:-'a}b'}", 'a}b'],
    ['${unset:-a\\}b}', 'a}b'],
    ['${unset:--}', '-'],
    ['${unset:-:-}', ':-'],
    // ${x:+w} and ${x+w}
    ['${x:+w}', 'w'],
    ['${unset:+w}', ''],
    ['${empty:+w}', ''],
    ['${x+w}', 'w'],
    ['${unset+w}', ''],
    ['${empty+w}', 'w'],
    ['${x:+-$x}', '-val'],
    // ${x:?m} and ${x?m}
    ['${x:?m}', 'val'],
    ['${x?m}', 'val'],
    ['${empty?m}', ''],
    // ${x#p} and ${x##p}
    ['${path#*/}', 'usr/local/lib/file.tar.gz'],
    ['${path##*/}', 'file.tar.gz'],
    ['${path#/usr}', '/local/lib/file.tar.gz'],
    ['${path#usr}', '/usr/local/lib/file.tar.gz'],
    ['${path#}', '/usr/local/lib/file.tar.gz'],
    ['${path##}', '/usr/local/lib/file.tar.gz'],
    ['${x#?}', 'al'],
    ['${x##??}', 'l'],
    ['${x#????}', 'val'],
    ['${x#*}', 'val'],
    ['${x##*}', ''],
    ['${stars#\\*}', '*a?*'],
    ['${stars#\\*\\*}', 'a?*'],
    ['${stars#*\\?}', '*'],
    ['${back#a\\\\}', 'b'],
    ['${x#v[a]l}', 'val'],
    ['${unset#a}', ''],
    ['${x#$pat}', ''],
    ['${repeat#*b}', 'ab'],
    ['${repeat##*b}', ''],
    ['${emoji#?}', '😀'],
    // ${x%p} and ${x%%p}
    ['${path%.*}', '/usr/local/lib/file.tar'],
    ['${path%%.*}', '/usr/local/lib/file'],
    ['${path%/*}', '/usr/local/lib'],
    ['${path%.zip}', '/usr/local/lib/file.tar.gz'],
    ['${x%?}', 'va'],
    ['${x%%*}', ''],
    ['${x%*}', 'val'],
    ['${stars%\\*}', '**a?'],
    ['${repeat%a*}', 'ab'],
    ['${repeat%%a*}', ''],
    ['${emoji%?}', '😀'],
    // wildcards do not match a newline
    ['${lines#*o}', 'ne\ntwo'],
    ['${lines##*t}', 'one\ntwo'],
    // ${x/p/r} and ${x//p/r}
    ['${path/\\//}', 'usr/local/lib/file.tar.gz'],
    ['${path//\\//-}', '-usr-local-lib-file.tar.gz'],
    ['${repeat/a/x}', 'xbab'],
    ['${repeat//a/x}', 'xbxb'],
    ['${repeat//a/}', 'bb'],
    ['${repeat/c/x}', 'abab'],
    ['${repeat/b*/x}', 'ax'],
    ['${repeat//?/x}', 'xxxx'],
    ['${repeat//*/x}', 'x'],
    ['${repeat//b?/-}', 'a-b'],
    ['${repeat///-}', '-a-b-a-b-'],
    ['${x/a/$empty}', 'vl'],
    ['${x/a/$x}', 'vvall'],
    ['${x/$unset/w}', 'wval'],
    ['${unset/a/b}', ''],
    ['${stars//\\*/x}', 'xxa?x'],
    // the replacement is literal, and keeps its escapes
    ['${x/a/\\$1}', 'v\\$1l'],
    ["${x//a/'$1'}", 'v$1l'],
    ['${x//a/\\/}', 'v\\/l'],
    // forms beside each other
    ['${x}${unset:-.}${path##*.}', 'val.gz'],
    ['app-${x:+$x-}1', 'app-val-1'],
  ])('%s', (word, expected) => {
    expect(expand(word, lookup)).toBe(expected)
  })

  test.each<[string, string]>([
    ["'", 'a single quote is not closed'],
    ['"', 'a double quote is not closed'],
    ['"\'', 'a double quote is not closed'],
    ['"a\\"', 'a double quote is not closed'],
    ['${', 'missing }'],
    ['${x', 'missing }'],
    ['${x:', 'unsupported modifier :'],
    ['${x:-', 'missing }'],
    ['${x:-${y}', 'missing }'],
    ['${x/a', 'missing /'],
    ['${x/a}', 'missing /'],
    ['${x/a/b', 'missing }'],
    ['${x//a}', 'missing /'],
    ['${}', 'bad substitution ${}'],
    ['${{x}}', 'bad substitution ${{'],
    ['${:x}', 'bad substitution ${:'],
    ['${x=y}', 'unsupported modifier = in ${x=…}'],
    ['${x:=y}', 'unsupported modifier := in ${x:=…}'],
    ['${x:y}', 'unsupported modifier :y'],
    ['${x:#y}', 'unsupported modifier :#'],
    ['${x:%y}', 'unsupported modifier :%'],
    ['${x^^}', 'unsupported modifier ^'],
    ['${x,}', 'unsupported modifier ,'],
    ['${x y}', 'unsupported modifier  '],
    ['${#x}', 'unsupported modifier x'],
    ['${!x}', 'unsupported modifier x'],
    ['${x-y', 'missing }'],
    ['${unset:?}', 'unset: is not allowed to be unset'],
    ['${unset?}', 'unset: is not allowed to be unset'],
    ['${empty:?}', 'empty: is not allowed to be empty'],
    ['${unset?give $x}', 'unset: give val'],
    ['${empty:?m}', 'empty: m'],
    ['${x#\\a}', 'invalid pattern "\\\\a"'],
    ['${x#a\\', 'missing }'],
  ])('%s: an error', (word, message) => {
    expect(() => expand(word, lookup)).toThrow(message)
    expect(() => expand(word, lookup)).toThrow(StaveError)
  })

  test.each<[string, string]>([
    ['`$x', '$x'],
    ['\\$x', '\\val'],
    ['a``b', 'a`b'],
    ['"`$x"', '$x'],
    ['"\\$x"', '\\val'],
    ['${unset:-a`}b}', 'a}b'],
    ['C:\\a\\b', 'C:\\a\\b'],
  ])('%s with the backtick as escape', (word, expected) => {
    expect(expand(word, lookup, { escape: '`' })).toBe(expected)
  })

  test('names that were used and names that were not set are collected', () => {
    const used = new Set<string>()
    const unset = new Set<string>()
    expand('$x ${missing} ${a:-$b} ${c+$d} ${e#f} ${empty}', lookup, { used, unset })
    expect([...used]).toEqual(['x', 'empty'])
    // A form that says what stands for an unset variable is no mistake.
    expect([...unset]).toEqual(['missing', 'b', 'd', 'e'])
  })
})

describe('words', () => {
  test.each<[string, string[]]>([
    ['', []],
    ['a', ['a']],
    ['  a   b ', ['a', 'b']],
    ['a"b c"d', ['ab cd']],
    ['$spaces', ['a', 'b']],
    ['"$spaces"', ['a  b']],
    ['x$spaces', ['xa', 'b']],
    ['x${spaces}y', ['xa', 'by']],
    ['x${lead}y', ['x', 'a', 'b', 'y']],
    ['$unset', []],
    ['""', []],
    ['a "" b', ['a', 'b']],
    ["'' $x", ['val']],
    ['a\\ b', ['a b']],
    ['80/tcp $x', ['80/tcp', 'val']],
    ['${unset:-80 81}', ['80', '81']],
    ['1${unset:-2}', ['12']],
    ['${unset:-80}/udp', ['80/udp']],
    ['a\u00a0b', ['a', 'b']],
    ['<< EOF', ['<< EOF']],
  ])('%j', (text, words) => {
    expect(expandWords(text, lookup)).toEqual(words)
  })
})

describe('the body of a COPY heredoc', () => {
  test.each<[string, string]>([
    ['$x', 'val'],
    ['"$x" \'$x\'', '"val" \'val\''],
    ['\\$x', '$x'],
    ['\\\\$x', '\\val'],
    ['a\\nb', 'anb'],
    ["it's", "it's"],
    ['line\n${unset:-d}\n', 'line\nd\n'],
    ['`$x`', '`val`'],
    ['no variables: \'"', 'no variables: \'"'],
  ])('%j', (text, expected) => {
    expect(expandHeredoc(text, lookup, { escape: '`' })).toBe(expected)
  })
})

describe('for display', () => {
  test.each<[string, string]>([
    ['echo $x $unset ${unset} ${unset:-$x}', 'echo val $unset ${unset} ${unset:-val}'],
    [`echo "$x" '$x'`, `echo "val" '$x'`],
    ['echo ${!x}', 'echo ${!x}'],
    ["echo it's $x", "echo it's $x"],
  ])('%s', (text, expected) => {
    expect(expandForDisplay(text, lookup)).toBe(expected)
  })
})

describe('bad input', { timeout: 30_000 }, () => {
  test('deep nesting is an error, not a stack overflow', () => {
    expect(expand(`${'${a:-'.repeat(400)}z${'}'.repeat(400)}`, lookup)).toBe('z')
    expect(() => expand(`${'${a:-'.repeat(100_000)}${'}'.repeat(100_000)}`, lookup)).toThrow('nest deeper than 500')
  })

  test('a result that grows without bound is an error', () => {
    const large = 'x'.repeat(1_000_000)
    expect(() => expand('$l'.repeat(20), () => large)).toThrow('is longer than')
    expect(() => expand(`\${l//x/${'y'.repeat(1000)}}`, () => large)).toThrow('is longer than')
  })

  test('a heredoc that grows without bound is an error', () => {
    expect(expandHeredoc('$l'.repeat(16), () => 'x'.repeat(1024 * 1024), { escape: '`' })).toHaveLength(limit.heredocLength)
    expect(() => expandHeredoc('$l'.repeat(17), () => 'x'.repeat(1024 * 1024), { escape: '`' })).toThrow('is longer than')
  })

  test('patterns take time in proportion to both lengths', () => {
    const started = performance.now()
    expect(expand(`\${l##${'*a'.repeat(100)}b}`, () => 'a'.repeat(20_000))).toHaveLength(20_000)
    expect(expand(`\${l//${'*a?'.repeat(50)}b/c}`, () => 'a'.repeat(20_000))).toHaveLength(20_000)
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(() => expand(`\${l##${'*a'.repeat(5_000)}b}`, () => 'a'.repeat(500_000))).toThrow('are too long')
  })

  const pieces = [
    'a',
    ' ',
    '$',
    '{',
    '}',
    '${',
    '$x',
    '${x',
    ':',
    '-',
    '+',
    '?',
    '#',
    '%',
    '/',
    '\\',
    '"',
    "'",
    '*',
    '<<',
    'é',
    '😀',
    '\n',
    '`',
  ]
  const words = fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((parts) => parts.join(''))

  test('every word expands to something or fails with an error of ours', () => {
    fc.assert(
      fc.property(words, fc.constantFrom('\\' as const, '`' as const), fc.string(), (word, escape, value) => {
        for (const run of [expand, expandWords, expandHeredoc, expandForDisplay]) {
          try {
            run(word, (name) => (name === 'x' ? value : undefined), { escape })
          } catch (error) {
            expect(error).toBeInstanceOf(StaveError)
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('what is quoted comes out as it was', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(expand(`'${text.replaceAll("'", '')}'`, lookup)).toBe(text.replaceAll("'", ''))
        expect(expand(`"${text.replace(/["$\\]/g, '\\$&')}"`, lookup)).toBe(text)
      }),
    )
  })
})

test('a message does not repeat megabytes of the file', () => {
  const lookup = (name: string): string | undefined => (name === 'x' ? 'y'.repeat(1000) : undefined)
  for (const text of [`\${u?${'$x'.repeat(900)}}`, `\${x#${'\\a'.repeat(100_000)}}`])
    expect(() => expand(text, lookup)).toThrow(expect.objectContaining({ message: expect.stringMatching(/^[^]{1,3000}$/) }))
})
