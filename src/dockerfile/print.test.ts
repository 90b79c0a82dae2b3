import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import type { Dockerfile } from './instruction.ts'
import { parseDockerfile } from './parse.ts'
import { describeDockerfile, printDockerfile } from './print.ts'

const parse = (text: string): Dockerfile => parseDockerfile(text, { file: 'Dockerfile' })

/** What a file means: everything but where it stands in the file. */
function meaning({ directives, globals, stages }: Dockerfile): unknown {
  return JSON.parse(
    JSON.stringify({ directives, globals, stages }, (key, value: unknown) =>
      /span$/i.test(key) || key === 'wordSpans' ? undefined : value,
    ),
  )
}

function expectSame(text: string): void {
  const file = parse(text)
  const printed = printDockerfile(file)
  const again = parse(printed)
  expect(meaning(again)).toEqual(meaning(file))
  expect(printDockerfile(again)).toBe(printed)
}

describe('canonical text', () => {
  test.each<[string, string]>([
    ['FROM x', 'FROM x\n'],
    ['  FROM x  \n\n\n\tRUN a \\\n # c\n  b\n', 'FROM x\nRUN a   b\n'],
    ['# syntax=a\n# hello\nFROM x', '# syntax=a\n\n# hello\nFROM x\n'],
    ['# hello\n# escape=`\nFROM x', '\n# hello\n# escape=`\nFROM x\n'],
    ['# escape=`\nFROM x\nRUN a `\nb', '# escape=`\n\nFROM x\nRUN a b\n'],
    ['ARG a\nFROM x\nFROM y', 'ARG a\n\nFROM x\n\nFROM y\n'],
    ['FROM x\nRUN <<A cat <<-"B"\na\nA\n\tb\n\tB\nRUN c', 'FROM x\nRUN <<A cat <<-"B"\na\nA\n\tb\nB\nRUN c\n'],
    ['FROM x\r\nRUN a\r\n', 'FROM x\nRUN a\n'],
  ])('of %j', (text, expected) => {
    expect(printDockerfile(parse(text))).toBe(expected)
    expectSame(text)
  })

  test('lines that are too long are broken', () => {
    const long = `FROM x\nRUN ${'word # \\x \\\\ é \\\n'.repeat(10_000)}end`
    expectSame(long)
    expect(
      Math.max(
        ...printDockerfile(parse(long))
          .split('\n')
          .map((line) => Buffer.byteLength(line)),
      ),
    ).toBeLessThan(65_536)
    expectSame(`FROM x\nENV ${'a=1 \\\n'.repeat(30_000)}b=2`)
  })
})

describe('parsing what was printed', { timeout: 30_000 }, () => {
  const words = [
    'a',
    'b=1',
    '"c d"',
    "'e f'",
    '\\',
    '\\\\',
    '\\\\\\',
    '`',
    '$x',
    '${x:-y}',
    '[',
    '["a", "b"]',
    '["a",]',
    '<<E',
    '<<-"E"',
    '--',
    '--link',
    '--from=y',
    '--mount=target=/m',
    '#',
    '# x',
    'é',
    '😀',
    '\t',
    '\f',
    '\v',
    '\u00a0',
  ]
  const keywords = [
    'RUN',
    'run',
    'COPY',
    'ADD',
    'ENV',
    'LABEL',
    'ARG',
    'CMD',
    'ENTRYPOINT',
    'USER',
    'WORKDIR',
    'EXPOSE',
    'VOLUME',
    'SHELL',
    'STOPSIGNAL',
    'HEALTHCHECK CMD',
    'ONBUILD RUN',
    'ONBUILD COPY',
    'FROM',
    'MAINTAINER',
    'FOO',
  ]
  const ends = ['\n', '\r\n', ' \\\n', '\\\n# c\n', ' \\ \t\n\n', '`\n']
  const between = ['', '', '\n', '# c\n', '#\n', 'E\n', '\tE\n', '# escape=`\n', '# check=skip=all\n']
  const line = fc
    .tuple(
      fc.constantFrom(...between),
      fc.constantFrom(...keywords),
      fc.array(fc.constantFrom(...words), { maxLength: 6 }),
      fc.constantFrom(...ends),
      fc.constantFrom(...between),
    )
    .map(([before, keyword, args, end, after]) => `${before}${keyword} ${args.join(' ')}${end}${after}`)
  const files = fc
    .tuple(fc.constantFrom(...between, '# escape=`\n', '\ufeff'), fc.array(line, { maxLength: 5 }))
    .map(([head, lines]) => `${head}FROM x\n${lines.join('')}`)

  test('any file is parsed or refused with an error of ours at a place in it', () => {
    fc.assert(
      fc.property(files, (text) => {
        try {
          parse(text)
        } catch (error) {
          expect(error).toBeInstanceOf(StaveError)
          const { span } = error as StaveError
          expect(span?.line).toBeGreaterThan(0)
          expect(span?.line).toBeLessThanOrEqual(text.split('\n').length)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('it means the same', () => {
    let parsed = 0
    fc.assert(
      fc.property(files, (text) => {
        try {
          parse(text)
        } catch {
          return // Refused: the property above looks at those.
        }
        parsed++
        expectSame(text)
      }),
      { numRuns: 3000 },
    )
    expect(parsed).toBeGreaterThan(200)
  })

  test('any text at all', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        try {
          parse(`FROM x\n${text}`)
        } catch (error) {
          expect(error).toBeInstanceOf(StaveError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

const fixtures = new URL('../../fixtures/dockerfiles/', import.meta.url)

describe('Dockerfiles as their communities write them', () => {
  const names = readdirSync(fixtures).filter((name) => name.endsWith('.Dockerfile'))

  test.each(names)('%s', async (name) => {
    const text = readFileSync(new URL(name, fixtures), 'utf8')
    expectSame(text)
    const described = `${JSON.stringify(describeDockerfile(parseDockerfile(text, { file: name })), null, 2)}\n`
    await expect(described).toMatchFileSnapshot(new URL(name.replace(/Dockerfile$/, 'json'), fixtures).pathname)
  })
})
