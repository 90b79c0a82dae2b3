import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { isBuiltInFrontend } from './directives.ts'
import type { Instruction } from './instruction.ts'
import { parseDockerfile, parseInstruction } from './parse.ts'

const parse = (text: string) => parseDockerfile(text, { file: 'Dockerfile' })

/** The instructions of the last stage of `FROM x` followed by `text`. */
const body = (text: string): readonly Instruction[] => parse(`FROM x\n${text}`).stages.at(-1)?.instructions ?? []

function failure(text: string): StaveError {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof StaveError) return error
    throw error
  }
  throw new Error(`parsed: ${text}`)
}

describe('logical lines', () => {
  test.each<[string, string, string[]]>([
    ['one instruction a line', 'RUN a\nRUN b\n', ['a', 'b']],
    ['no newline at the end', 'RUN a', ['a']],
    ['CRLF', 'RUN a\r\nRUN b\r\n', ['a', 'b']],
    ['several carriage returns', 'RUN a\r\r\nRUN b', ['a', 'b']],
    ['blank lines between', '\n\nRUN a\n   \n\t\nRUN b\n', ['a', 'b']],
    ['leading white space', '   RUN a\n\tRUN b', ['a', 'b']],
    ['trailing white space', 'RUN a  \t\n', ['a']],
    ['a tab after the keyword', 'RUN\ta', ['a']],
    ['several blanks after the keyword', 'RUN    a  b', ['a  b']],
    ['a continuation', 'RUN a \\\nb', ['a b']],
    ['a continuation keeps leading white space', 'RUN a\\\n    b', ['a    b']],
    ['a continuation with blanks after the escape', 'RUN a \\  \t\nb', ['a b']],
    ['a continuation with CRLF', 'RUN a \\\r\nb\r\n', ['a b']],
    ['an escape alone on a line', 'RUN a \\\n\\\nb', ['a b']],
    ['an escape alone on the first line', '\\\nRUN a', ['a']],
    ['an escape at the end of the file', 'RUN a \\', ['a']],
    ['an escape and a newline at the end of the file', 'RUN a \\\n', ['a']],
    ['two escapes do not continue', 'RUN a\\\\\nRUN b', ['a\\\\', 'b']],
    ['three escapes do not continue either', 'RUN a\\\\\\\nRUN b', ['a\\\\\\', 'b']],
    ['an escape before other text does not continue', 'RUN a \\ b\nRUN c', ['a \\ b', 'c']],
    ['an escape before a form feed does not continue', 'RUN a\\\f\nRUN c', ['a\\', 'c']],
    ['a comment within a continuation', 'RUN a \\\n# no\nb', ['a b']],
    ['an indented comment within a continuation', 'RUN a \\\n   # no\nb', ['a b']],
    ['a comment that ends with an escape within a continuation', 'RUN a \\\n# no \\\nb', ['a b']],
    ['an empty line within a continuation', 'RUN a \\\n\nb', ['a b']],
    ['a line of blanks within a continuation', 'RUN a \\\n  \t \nb', ['a b']],
    ['a comment and blank lines at the end of the file', 'RUN a \\\n# x\n\n', ['a']],
    ['no comment after text', 'RUN a # b', ['a # b']],
    ['a comment line ends with an escape', '# a \\\nRUN b', ['b']],
    ['a keyword split by a continuation', 'RU\\\nN a', ['a']],
    ['a keyword in any case', 'run a\nRun b\nrUn c', ['a', 'b', 'c']],
    ['a byte order mark', '\ufeffRUN a', []],
  ])('%s', (_name, text, commands) => {
    const all = text.startsWith('\ufeff') ? parse(`\ufeffFROM x\n`).stages[0]?.instructions : body(text)
    expect(all?.map((each) => (each.kind === 'RUN' ? each.command.args[0] : each.kind))).toEqual(commands)
  })

  test('a line of 65,535 bytes is read, a longer one is not', () => {
    expect(body(`RUN ${'a'.repeat(65_531)}`)).toHaveLength(1)
    expect(failure(`FROM x\nRUN ${'a'.repeat(65_532)}`)).toMatchObject({ code: 'dockerfile', span: { line: 2 } })
    expect(failure(`FROM x\nRUN ${'é'.repeat(32_766)}`).message).toBe('line 2 is longer than 65535 bytes')
    expect(body(`RUN ${'é'.repeat(32_765)}`)).toHaveLength(1)
    expect(failure(`FROM x\nRUN <<E\n${'a'.repeat(65_536)}\nE`).message).toBe('line 3 is longer than 65535 bytes')
  })

  test('the line of a continuation may be longer when joined', () => {
    expect(body(`RUN ${`${'a'.repeat(60_000)} \\\n`.repeat(20)}b`)).toHaveLength(1)
  })

  test('empty lines within continuations are remembered', () => {
    expect(parse('FROM x\nRUN a \\\n\n  \nb\nRUN c \\\n\nd').emptyContinuations).toEqual([3, 4, 7])
  })
})

describe('spans', () => {
  test('of an instruction over several lines, with a heredoc', () => {
    const [env, run, copy] = body('  ENV a=1 \\\n   b=2\nRUN <<EOF\nx\nEOF\nCOPY --from=y \\\n  a b\n')
    expect(env?.span).toEqual({ file: 'Dockerfile', line: 2, column: 3, endLine: 3, endColumn: 7 })
    expect(env?.wordSpans[1]).toEqual({ file: 'Dockerfile', line: 3, column: 4, endLine: 3, endColumn: 7 })
    expect(run?.span).toEqual({ file: 'Dockerfile', line: 4, column: 1, endLine: 6, endColumn: 4 })
    expect(copy?.flags[0]?.span).toEqual({ file: 'Dockerfile', line: 7, column: 6, endLine: 7, endColumn: 14 })
    expect(copy?.wordSpans).toEqual([
      { file: 'Dockerfile', line: 8, column: 3, endLine: 8, endColumn: 4 },
      { file: 'Dockerfile', line: 8, column: 5, endLine: 8, endColumn: 6 },
    ])
  })

  test('of a word that a continuation splits', () => {
    expect(body('WORKDIR /a\\\nb/c')[0]?.wordSpans[0]).toEqual({ file: 'Dockerfile', line: 2, column: 9, endLine: 3, endColumn: 4 })
  })
})

describe('directives', () => {
  test.each<[string, string, { syntax?: string; escape: string; check?: string }]>([
    ['none', 'FROM x', { escape: '\\' }],
    ['syntax', '# syntax=docker/dockerfile:1\nFROM x', { escape: '\\', syntax: 'docker/dockerfile:1' }],
    ['all three, in any order', '# check=skip=all\n# escape=`\n# syntax=a\nFROM x', { escape: '`', syntax: 'a', check: 'skip=all' }],
    ['any case and blanks', '#   EsCape   =  `  \nFROM x', { escape: '`' }],
    ['no blank after the hash', '#escape=`\nFROM x', { escape: '`' }],
    ['white space before the hash: escape only', '  # escape=`\n  # syntax=x\nFROM x', { escape: '`' }],
    ['a comment ends them', '# hello\n# escape=`\nFROM x', { escape: '\\' }],
    ['an unknown one ends them', '# foo=bar\n# escape=`\nFROM x', { escape: '\\' }],
    ['an empty line ends them', '\n# escape=`\nFROM x', { escape: '\\' }],
    ['an instruction ends them', 'FROM x\n# escape=`\n', { escape: '\\' }],
    ['an empty value is a comment', '# escape=\n# syntax=x\nFROM x', { escape: '\\' }],
    ['a name with a dash is a comment', '# a-b=c\n# syntax=x\nFROM x', { escape: '\\' }],
    ['the backslash can be asked for', '# escape=\\\nFROM x', { escape: '\\' }],
    [
      'syntax after a #! line, where escape is inert',
      '#!/bin/x\n# syntax=a\n# check=error=true\nFROM x',
      { escape: '\\', syntax: 'a', check: 'error=true' },
    ],
    ['escape after a #! line', '#!/bin/x\n# escape=`\nFROM x', { escape: '\\' }],
    ['after a byte order mark', '\ufeff# escape=`\nFROM x', { escape: '`' }],
    ['what follows the image is for the frontend', '# syntax=a/b:1 --x y\nFROM x', { escape: '\\', syntax: 'a/b:1' }],
    ['CRLF', '# escape=`\r\n# syntax=x\r\nFROM x', { escape: '`', syntax: 'x' }],
  ])('%s', (_name, text, directives) => {
    expect(parse(text).directives).toEqual(directives)
  })

  test('the escape directive changes continuations, and the other character is ordinary', () => {
    const [run] = parse('# escape=`\nFROM x\nRUN a `\nb \\\nRUN c').stages[0]?.instructions ?? []
    expect(run).toMatchObject({ command: { args: ['a b \\'] } })
  })

  test.each([
    ['a duplicate', '# escape=`\n# escape=`\nFROM x', 'only one escape parser directive can be used', 2],
    ['a duplicate in another case', '# syntax=a\n# SYNTAX=b\nFROM x', 'only one syntax parser directive can be used', 2],
    ['a wrong escape', '# escape=x\nFROM x', 'invalid escape character "x"', 1],
    ['two escapes', '# escape=\\\\\nFROM x', 'invalid escape character "\\\\\\\\"', 1],
    ['a blank escape', '# escape= \nFROM x', 'invalid escape character " "', 1],
  ])('%s is an error', (_name, text, message, line) => {
    expect(failure(text)).toMatchObject({ message, span: { line } })
  })
})

test.each([
  ['docker/dockerfile', true],
  ['docker/dockerfile:1', true],
  ['docker/dockerfile:1-labs', true],
  ['docker/dockerfile:1.7.0-labs@sha256:00', true],
  ['docker.io/docker/dockerfile-upstream:master-labs', true],
  ['mirror/docker/dockerfile:1', true],
  ['registry.example:5000/proxy/docker/dockerfile:1', true],
  ['docker/dockerfile-other', false],
  ['mydocker/dockerfile:1', false],
  ['dockerfile', false],
  ['ghcr.io/acme/buildpack', false],
])('%s is a frontend that is built in: %s', (syntax, isOne) => {
  expect(isBuiltInFrontend(syntax)).toBe(isOne)
})

describe('comments above an instruction', () => {
  test.each<[string, string, string[]]>([
    ['are kept', '# a\n#b\nRUN x', ['a', 'b']],
    ['also with empty lines between', '# a\n\nRUN x', ['a']],
    ['an empty one begins anew', '# a\n#\n# b\nRUN x', ['b']],
    ['those within do not count', '# a\nRUN \\\n# b\nx', ['a']],
    ['those of the instruction before do not count', '# a\nRUN y\nRUN x', []],
    ['indented', '   # a\nRUN x', ['a']],
  ])('%s', (_name, text, comments) => {
    expect(body(text).at(-1)?.comments).toEqual(comments)
  })

  test('directives are none', () => {
    expect(parse('# syntax=a\n# b\nFROM x').stages[0]?.from.comments).toEqual(['b'])
  })
})

describe('flags', () => {
  test.each<[string, string, object]>([
    ['before the arguments', 'COPY --from=a --chown=b c d', { from: 'a', chown: 'b', sources: ['c'], destination: 'd' }],
    ['after an argument they are arguments', 'COPY a --from=b c', { sources: ['a', '--from=b'], destination: 'c' }],
    ['a bare -- ends them', 'COPY -- --from=a b', { sources: ['--from=a'], destination: 'b' }],
    ['quotes protect blanks and vanish', 'COPY --chown="a b" c d', { chown: 'a b' }],
    ['quotes anywhere in the flag', 'COPY --cho"wn"=a\'b\'c d e', { chown: 'abc' }],
    ['quotes hold the other quotes', `COPY --chown="a'b" c d`, { chown: "a'b" }],
    ['an escape removes itself', 'COPY --chown=a\\ b c d', { chown: 'a b' }],
    ['an escape in single quotes too', "COPY --chown='a\\b' c d", { chown: 'ab' }],
    ['the escape of the directive', 'COPY --chown=a`b c d', { chown: 'a`b' }],
    ['boolean without value', 'COPY --link a b', { link: true }],
    ['boolean true', 'COPY --link=true a b', { link: true }],
    ['boolean in any case', 'COPY --link=FALSE a b', { link: false }],
    ['lists', 'COPY --exclude=a --exclude=b c d', { exclude: ['a', 'b'] }],
    ['an empty string is like none', 'COPY --from= a b', { sources: ['a'] }],
    ['a value may hold =', 'COPY --exclude=a=b c d', { exclude: ['a=b'] }],
    ['a single dash is an argument', 'COPY - b', { sources: ['-'] }],
    [
      'all of COPY',
      'COPY --from=a --chown=b --chmod=c --link --parents --exclude=d e f',
      { from: 'a', chown: 'b', chmod: 'c', link: true, parents: true, exclude: ['d'] },
    ],
    [
      'all of ADD',
      'ADD --chown=b --chmod=c --link --keep-git-dir --checksum=s --unpack=false --exclude=d e f',
      { chown: 'b', chmod: 'c', link: true, keepGitDir: true, checksum: 's', unpack: false, exclude: ['d'] },
    ],
    ['those of ADD that are not given are absent', 'ADD a b', { link: false, exclude: [] }],
    [
      'all of RUN',
      'RUN --mount=type=tmpfs,target=/a --mount=target=/b --network=none --security=insecure --device=a/b=c x',
      { mounts: ['type=tmpfs,target=/a', 'target=/b'], network: 'none', security: 'insecure', devices: ['a/b=c'] },
    ],
    ['of ARG are not looked at', 'ARG --foo a=1', { args: [{ key: 'a', value: '1' }] }],
    ['of STOPSIGNAL are not looked at', 'STOPSIGNAL --foo 9', { signal: '9' }],
    ['of HEALTHCHECK NONE are not looked at', 'HEALTHCHECK --foo NONE', { test: ['NONE'] }],
  ])('%s', (_name, text, expected) => {
    expect(body(text)[0]).toMatchObject(expected)
  })

  test.each([
    ['unknown', 'COPY --fro=a b c', 'unknown flag --fro', 'Did you mean --from?'],
    [
      'unknown, near nothing',
      'COPY --zzzzzz b c',
      'unknown flag --zzzzzz',
      'It takes --from, --chown, --chmod, --link, --parents, --exclude.',
    ],
    ['where none are taken', 'WORKDIR --x /a', 'unknown flag --x', 'This instruction takes no flags.'],
    ['of another instruction', 'ADD --from=a b c', 'unknown flag --from', expect.any(String)],
    ['a name of Object', 'COPY --constructor=a b c', 'unknown flag --constructor', expect.any(String)],
    ['twice', 'COPY --from=a --from=b c d', 'flag --from is given twice', expect.any(String)],
    ['boolean twice', 'COPY --link --link c d', 'flag --link is given twice', expect.any(String)],
    ['string without value', 'COPY --from b c', 'flag --from needs a value', 'Write --from=VALUE.'],
    ['list without value', 'RUN --mount b', 'flag --mount needs a value', expect.any(String)],
    ['boolean with empty value', 'COPY --link= b c', 'flag --link has an empty value', expect.any(String)],
    ['boolean with another value', 'COPY --link=1 b c', 'flag --link must be true or false, not "1"', undefined],
    ['network', 'RUN --network=hots x', 'invalid network mode "hots"', 'Did you mean host?'],
    ['empty network', 'RUN --network= x', 'invalid network mode ""', expect.any(String)],
    ['security', 'RUN --security=none x', 'invalid security mode "none"', expect.any(String)],
  ])('%s: an error at the flag', (_name, text, message, hint) => {
    const error = failure(`FROM x\n${text}`)
    expect(error.message).toBe(message)
    expect(error.hint).toEqual(hint)
    expect(error.span).toMatchObject({ line: 2, column: expect.any(Number) })
    expect(error.span?.column).toBeGreaterThan(1)
  })
})

describe('exec and shell form', () => {
  test.each<[string, 'exec' | 'shell', string[]]>([
    ['["a", "b c"]', 'exec', ['a', 'b c']],
    ['  [ "a" , "b" ]  ', 'exec', ['a', 'b']],
    ['[]', 'exec', []],
    ['["\\u0041\\n\\"\\\\"]', 'exec', ['A\n"\\']],
    ['["a  b"]', 'exec', ['a  b']],
    ['["\\ud800"]', 'exec', ['\ufffd']],
    ["['a']", 'shell', ["['a']"]],
    ['["a",]', 'shell', ['["a",]']],
    ['["a"] x', 'shell', ['["a"] x']],
    ['["a"', 'shell', ['["a"']],
    ['[a]', 'shell', ['[a]']],
    ['[ -f x ] && y', 'shell', ['[ -f x ] && y']],
    ['["a" "b"]', 'shell', ['["a" "b"]']],
    ['[1e999]', 'shell', ['[1e999]']],
    ['"a"', 'shell', ['"a"']],
    ['{"a": 1}', 'shell', ['{"a": 1}']],
    ['echo "$x" \'y\' \\z', 'shell', ['echo "$x" \'y\' \\z']],
    ['', 'shell', ['']],
  ])('%s', (text, form, args) => {
    for (const keyword of ['RUN', 'CMD', 'ENTRYPOINT'])
      expect(body(`${keyword} ${text}`)[0]).toMatchObject({ kind: keyword, command: { form, args } })
  })

  test.each(['["a", 1]', '[1]', '[null]', '[["a"]]', '[{"a": "b"}]', '["a", true]'])('%s is an error', (text) => {
    for (const keyword of ['RUN', 'CMD', 'ENTRYPOINT', 'SHELL', 'COPY', 'VOLUME', 'HEALTHCHECK CMD'])
      expect(failure(`FROM x\n${keyword} ${text}`).message).toBe('a JSON array of arguments must hold strings only')
  })

  test('nested so deep that Go would not decode it, it is shell text', () => {
    const deep = '['.repeat(20_000) + ']'.repeat(20_000)
    expect(body(`RUN ${deep}`)[0]).toMatchObject({ command: { form: 'shell' } })
  })
})

describe('instructions', () => {
  test.each<[string, object]>([
    ['ARG a', { kind: 'ARG', args: [{ key: 'a' }] }],
    ['ARG a=', { args: [{ key: 'a', value: '' }] }],
    [
      'ARG a=1 b c="x y" d=e\\ f',
      { args: [{ key: 'a', value: '1' }, { key: 'b' }, { key: 'c', value: '"x y"' }, { key: 'd', value: 'e\\ f' }] },
    ],
    ['ARG a=b=c', { args: [{ key: 'a', value: 'b=c' }] }],
    ['ENV a=1', { kind: 'ENV', pairs: [{ key: 'a', value: '1' }] }],
    [
      'ENV a=1 b="x y" c=\'z\'',
      {
        pairs: [
          { key: 'a', value: '1' },
          { key: 'b', value: '"x y"' },
          { key: 'c', value: "'z'" },
        ],
      },
    ],
    [
      'ENV a=4\\ 5 b="\\"" ',
      {
        pairs: [
          { key: 'a', value: '4\\ 5' },
          { key: 'b', value: '"\\""' },
        ],
      },
    ],
    [
      'ENV a= b=""',
      {
        pairs: [
          { key: 'a', value: '' },
          { key: 'b', value: '""' },
        ],
      },
    ],
    ['ENV a b c', { pairs: [{ key: 'a', value: 'b c', legacy: true }] }],
    ['ENV a  b=c d', { pairs: [{ key: 'a', value: 'b=c d', legacy: true }] }],
    ['ENV "a b" c', { pairs: [{ key: '"a', value: 'b" c', legacy: true }] }],
    [
      'LABEL a="b c" d=e',
      {
        kind: 'LABEL',
        pairs: [
          { key: 'a', value: '"b c"' },
          { key: 'd', value: 'e' },
        ],
      },
    ],
    ['LABEL "a b"=c', { pairs: [{ key: '"a b"', value: 'c' }] }],
    ['LABEL a b', { pairs: [{ key: 'a', value: 'b', legacy: true }] }],
    ['MAINTAINER a <b@c>', { kind: 'MAINTAINER', name: 'a <b@c>' }],
    ['WORKDIR /a b', { kind: 'WORKDIR', path: '/a b' }],
    ['USER a:b', { kind: 'USER', user: 'a:b' }],
    ['STOPSIGNAL SIGTERM', { kind: 'STOPSIGNAL', signal: 'SIGTERM' }],
    ['EXPOSE 90 80/udp $x', { kind: 'EXPOSE', ports: ['$x', '80/udp', '90'] }],
    ['VOLUME /a /b', { kind: 'VOLUME', paths: ['/a', '/b'] }],
    ['VOLUME ["/a b", " /c "]', { paths: ['/a b', '/c'] }],
    ['SHELL ["bash", "-c"]', { kind: 'SHELL', command: ['bash', '-c'] }],
    ['COPY a b', { kind: 'COPY', sources: ['a'], destination: 'b', heredocs: [], link: false, parents: false, exclude: [] }],
    ['COPY a b c/', { sources: ['a', 'b'], destination: 'c/' }],
    ['COPY "a b" c', { sources: ['"a', 'b"'], destination: 'c' }],
    ['COPY a\\ b c', { sources: ['a\\', 'b'], destination: 'c' }],
    ['COPY ["a b", "c d"]', { sources: ['a b'], destination: 'c d' }],
    ['COPY ["a",] b', { sources: ['["a",]'], destination: 'b' }],
    ['ADD https://x/y z', { kind: 'ADD', sources: ['https://x/y'], destination: 'z' }],
    ['HEALTHCHECK NONE', { kind: 'HEALTHCHECK', test: ['NONE'] }],
    ['HEALTHCHECK none', { test: ['NONE'] }],
    ['HEALTHCHECK CMD a  b', { test: ['CMD-SHELL', 'a  b'] }],
    ['HEALTHCHECK cmd ["a", "b"]', { test: ['CMD', 'a', 'b'] }],
    [
      'HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=1h --start-interval=100ms --retries=3 CMD x',
      { interval: 90e9, timeout: 1.5e9, startPeriod: 3600e9, startInterval: 1e8, retries: 3 },
    ],
    ['HEALTHCHECK --interval=1ms CMD x', { interval: 1e6 }],
    ['ONBUILD RUN a', { kind: 'ONBUILD', triggerText: 'RUN a', trigger: { kind: 'RUN', command: { args: ['a'] } } }],
    ['onbuild  copy --from=b a b', { triggerText: 'copy --from=b a b', trigger: { kind: 'COPY', from: 'b' } }],
    ['\\\n\u00a0ONBUILD RUN a', { triggerText: 'RUN a' }],
    ['ONBUILD -- RUN a', { triggerText: 'RUN a' }],
    ['ONBUILD HEALTHCHECK NONE', { trigger: { kind: 'HEALTHCHECK' } }],
    ['ONBUILD ARG x=1', { trigger: { kind: 'ARG' } }],
  ])('%s', (text, expected) => {
    expect(body(text)[0]).toMatchObject(expected)
  })

  test('HEALTHCHECK: zero and nothing mean "inherit"', () => {
    const [check] = body('HEALTHCHECK --interval=0s --timeout=0 --start-period= CMD x')
    expect(check).not.toHaveProperty('interval')
    expect(check).not.toHaveProperty('timeout')
    expect(check).not.toHaveProperty('startPeriod')
  })

  test.each([
    ['FOO x', 'unknown instruction FOO', 'Did you mean FROM?'],
    ['RNU x', 'unknown instruction RNU', 'Did you mean RUN?'],
    ['copyy a b', 'unknown instruction copyy', 'Did you mean COPY?'],
    ['CMD["a"]', 'unknown instruction CMD["a"]', 'Put a blank between the instruction and its JSON array.'],
    ['&& foo', 'unknown instruction &&', 'If the line belongs to the one above, that one must end with an escape character.'],
    ['constructor x', 'unknown instruction constructor', undefined],
    ['ARG', 'ARG requires at least one argument', undefined],
    ['ARG =x', 'ARG names can not be blank', expect.any(String)],
    ['ENV', 'ENV requires at least one argument', undefined],
    ['ENV a', 'ENV must have two arguments', 'Write ENV a=VALUE.'],
    ['ENV a=1 b', 'cannot find = in "b"', expect.any(String)],
    ['ENV =1', 'ENV names can not be blank', expect.any(String)],
    ['ENV \\', 'ENV requires at least one argument', undefined],
    ['LABEL', 'LABEL requires at least one argument', undefined],
    ['LABEL a', 'LABEL must have two arguments', expect.any(String)],
    ['LABEL a=1 b', 'cannot find = in "b"', expect.any(String)],
    ['MAINTAINER', 'MAINTAINER requires exactly one argument', undefined],
    ['WORKDIR', 'WORKDIR requires exactly one argument', undefined],
    ['USER', 'USER requires exactly one argument', undefined],
    ['STOPSIGNAL', 'STOPSIGNAL requires exactly one argument', undefined],
    ['EXPOSE', 'EXPOSE requires at least one argument', undefined],
    ['VOLUME', 'VOLUME requires at least one argument', undefined],
    ['VOLUME []', 'VOLUME requires at least one argument', undefined],
    ['VOLUME [" "]', 'a VOLUME cannot be an empty string', undefined],
    ['SHELL', 'SHELL requires at least one argument', undefined],
    ['SHELL []', 'SHELL requires at least one argument', undefined],
    ['SHELL bash -c', 'SHELL requires its arguments to be in JSON form', expect.any(String)],
    ['COPY', 'COPY requires at least two arguments', expect.any(String)],
    ['COPY a', 'COPY requires at least two arguments, but only one was provided', expect.any(String)],
    ['COPY ["a"]', 'COPY requires at least two arguments, but only one was provided', expect.any(String)],
    ['ADD []', 'ADD requires at least two arguments', expect.any(String)],
    ['HEALTHCHECK', 'HEALTHCHECK requires at least one argument', undefined],
    ['HEALTHCHECK foo x', 'unknown type "FOO" in HEALTHCHECK', expect.any(String)],
    ['HEALTHCHECK NONE x', 'HEALTHCHECK NONE takes no arguments', undefined],
    ['HEALTHCHECK CMD', 'the command after HEALTHCHECK CMD is missing', undefined],
    ['HEALTHCHECK CMD []', 'the command after HEALTHCHECK CMD is missing', undefined],
    ['HEALTHCHECK --interval=1 CMD x', 'invalid duration "1"', expect.any(String)],
    ['HEALTHCHECK --interval=1us CMD x', '--interval cannot be less than 1ms', undefined],
    ['HEALTHCHECK --interval=-1s CMD x', '--interval cannot be less than 1ms', undefined],
    ['HEALTHCHECK --retries=-1 CMD x', '--retries must be a number that is not negative, not "-1"', undefined],
    ['HEALTHCHECK --retries=x CMD x', '--retries must be a number that is not negative, not "x"', undefined],
    ['ONBUILD', 'ONBUILD requires at least one argument', undefined],
    ['ONBUILD ONBUILD RUN x', 'ONBUILD ONBUILD is not allowed', expect.any(String)],
    ['ONBUILD FROM x', 'FROM is not allowed as an ONBUILD trigger', undefined],
    ['ONBUILD maintainer x', 'MAINTAINER is not allowed as an ONBUILD trigger', undefined],
    ['ONBUILD COPY a', 'COPY requires at least two arguments, but only one was provided', expect.any(String)],
    ['ONBUILD FOO', 'unknown instruction FOO', expect.any(String)],
    ['\\', 'unknown instruction ', undefined],
  ])('%s: an error', (text, message, hint) => {
    const error = failure(`FROM x\n${text}\n`)
    expect(error.code).toBe('dockerfile')
    expect(error.message).toBe(message)
    expect(error.hint).toEqual(hint)
    expect(error.span).toMatchObject({ file: 'Dockerfile', line: 2 })
  })
})

describe('FROM and stages', () => {
  test.each<[string, object]>([
    ['FROM a', { image: 'a' }],
    ['FROM a AS b', { image: 'a', name: 'b' }],
    ['from a as B', { image: 'a', name: 'b' }],
    ['FROM --platform=$BUILDPLATFORM a:$x AS b-1_2.3', { image: 'a:$x', platform: '$BUILDPLATFORM', name: 'b-1_2.3' }],
    ['FROM --platform= a', { image: 'a' }],
  ])('%s', (text, expected) => {
    expect(parse(text).stages[0]?.from).toMatchObject(expected)
  })

  test.each([
    ['FROM', 'FROM requires either one or three arguments'],
    ['FROM a b', 'FROM requires either one or three arguments'],
    ['FROM a AS', 'FROM requires either one or three arguments'],
    ['FROM a XX b', 'FROM requires either one or three arguments'],
    ['FROM a AS b c', 'FROM requires either one or three arguments'],
    ['FROM a AS 1b', 'invalid name for build stage: "1b"'],
    ['FROM a AS b/c', 'invalid name for build stage: "b/c"'],
    ['FROM a AS -', 'invalid name for build stage: "-"'],
    ['FROM a AS $b', 'invalid name for build stage: "$b"'],
    ['FROM --foo a', 'unknown flag --foo'],
    ['', 'the file has no instructions'],
    ['\n\n', 'the file has no instructions'],
    ['# only\n# comments', 'the file has no instructions'],
    ['ARG x', 'the file has no build stage'],
    ['RUN x', 'no build stage in current context: RUN stands before the first FROM'],
    ['ARG a\nENV b=c\nFROM x', 'no build stage in current context: ENV stands before the first FROM'],
  ])('%j: an error', (text, message) => {
    expect(failure(text).message).toBe(message)
  })

  test('ARGs before the first FROM are global, and each stage has its instructions', () => {
    const file = parse('ARG a\nARG b=1\nFROM x AS one\nRUN a\nARG c\nFROM one\nRUN b')
    expect(file.globals).toHaveLength(2)
    expect(file.stages.map(({ index, name, instructions }) => [index, name, instructions.length])).toEqual([
      [0, 'one', 2],
      [1, undefined, 1],
    ])
  })
})

describe('parseInstruction', () => {
  const span = { file: 'D', line: 3, column: 1, endLine: 3, endColumn: 9 }

  test('reads a trigger and points at the FROM', () => {
    const copy = parseInstruction('COPY --from=a <<E /x\nb\nE', { file: 'D', span })
    expect(copy).toMatchObject({ kind: 'COPY', from: 'a', span, heredocs: [{ content: 'b\n' }] })
    expect(copy.flags[0]?.span).toEqual(span)
  })

  test.each(['', 'RUN a\nRUN b', '# comment'])('%j is no single instruction', (text) => {
    expect(() => parseInstruction(text, { file: 'D', span })).toThrow('an ONBUILD trigger must be a single instruction')
  })

  test('a trigger that ends with an escape keeps it', () => {
    const file = parse('# escape=`\nFROM x\nONBUILD RUN dir C:\\')
    const [onbuild] = file.stages[0]?.instructions ?? []
    const stored = onbuild?.kind === 'ONBUILD' ? onbuild.triggerText : ''
    expect(parseInstruction(stored, { file: 'D' })).toMatchObject({ command: { args: ['dir C:\\'] } })
  })
})

describe('bad input', () => {
  test('100,000 instructions', { timeout: 20_000 }, () => {
    expect(body('RUN --mount=type=cache,target=/x y\n'.repeat(100_000))).toHaveLength(100_000)
  })

  test('a line of 10 MB', () => {
    expect(failure(`FROM x\nRUN ${'a'.repeat(10_000_000)}`).message).toBe('line 2 is longer than 65535 bytes')
  })

  test('10 MB of continuation lines, of comments, of nothing', { timeout: 20_000 }, () => {
    expect(body(`RUN ${'a \\\n'.repeat(2_500_000)}b`)).toHaveLength(1)
    expect(body(`RUN a \\\n${'# a\n'.repeat(2_500_000)}b`)).toHaveLength(1)
    expect(body(`RUN a \\\n${'\n'.repeat(2_500_000)}b`)).toHaveLength(1)
  })

  test('15,000 heredocs on one line', () => {
    const [run] = body(`RUN cat ${'<<A '.repeat(15_000)}\n${'A\n'.repeat(15_000)}`)
    expect(run?.kind === 'RUN' && run.heredocs.length).toBe(15_000)
  })
})
