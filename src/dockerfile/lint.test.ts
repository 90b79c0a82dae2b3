import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { checkJson } from './call-json.ts'
import { checkOptions, parseCheck } from './check-options.ts'
import { parseIgnore } from './ignore.ts'
import { lint, type LintOptions } from './lint.ts'
import { formatWarnings, warningsToSarif } from './lint-report.ts'
import { parseDockerfile } from './parse.ts'
import { ruleNames } from './rules.ts'

const amd64 = { os: 'linux', architecture: 'amd64' }

interface Given extends Partial<Omit<LintOptions, 'buildArgs' | 'ignore'>> {
  readonly buildArgs?: Record<string, string>
  readonly ignore?: string
}

function warnings(text: string, { buildArgs = {}, ignore, ...more }: Given = {}) {
  return lint(parseDockerfile(text, { file: 'Dockerfile' }), {
    targetPlatform: amd64,
    buildPlatform: amd64,
    buildArgs: new Map(Object.entries(buildArgs)),
    ...(ignore !== undefined && { ignore: parseIgnore(ignore) }),
    ...more,
  })
}

/** `Rule:line` of each warning. */
const found = (text: string, given?: Given): string[] => warnings(text, given).map(({ rule, span }) => `${rule}:${span.line}`)

describe('rules', () => {
  test.each<[string, string[], Given?]>([
    ['FROM x\nRUN y', []],
    // StageNameCasing
    ['FROM x AS Build', ['StageNameCasing:1']],
    ['FROM x AS build', []],
    // FromAsCasing
    ['FROM x as build', ['FromAsCasing:1']],
    ['from x AS build', ['FromAsCasing:1']],
    ['from x as build', []],
    ['FROM x As build', ['FromAsCasing:1']],
    ['FROM x AS build', []],
    ['FrOM x as build', ['ConsistentInstructionCasing:1']],
    // NoEmptyContinuation
    ['FROM x\nRUN a \\\n\nb', ['NoEmptyContinuation:3']],
    ['FROM x\nRUN a \\\n# c\nb', []],
    // ConsistentInstructionCasing
    ['FROM x\nrun a\nRUN b', ['ConsistentInstructionCasing:2']],
    ['from x\nrun a\nRUN b', ['ConsistentInstructionCasing:3']],
    ['FROM x\nRun a', ['ConsistentInstructionCasing:2']],
    ['from x\nrun a', []],
    ['FROM x\nrun a', ['ConsistentInstructionCasing:2']],
    // DuplicateStageName, ReservedStageName
    ['FROM x AS a\nFROM y AS a', ['DuplicateStageName:2']],
    ['FROM x AS scratch', ['ReservedStageName:1']],
    ['FROM x AS context', ['ReservedStageName:1']],
    // JSONArgsRecommended
    ['FROM x\nCMD a', ['JSONArgsRecommended:2']],
    ['FROM x\nENTRYPOINT a', ['JSONArgsRecommended:2']],
    ['FROM x\nCMD ["a"]', []],
    ['FROM x\nRUN a', []],
    ['FROM x\nSHELL ["bash", "-c"]\nCMD a', []],
    ['FROM x AS y\nSHELL ["bash", "-c"]\nFROM y\nCMD a', []],
    ['FROM x\nCMD a', [], { images: new Map([[0, { env: [], shell: ['bash', '-c'] }]]) }],
    // MaintainerDeprecated
    ['FROM x\nMAINTAINER me', ['MaintainerDeprecated:2']],
    // UndefinedArgInFrom
    ['FROM x${y}', ['UndefinedArgInFrom:1']],
    ['ARG y\nFROM x${y}', []],
    ['ARG y=1\nFROM x:${y}', []],
    ['FROM x:${y:-1}', []],
    ['FROM --platform=linux/${TARGETACRH}amd64 x', ['UndefinedArgInFrom:1'], { buildArgs: { TARGETACRH: 'a' } }],
    // WorkdirRelativePath
    ['FROM x\nWORKDIR a', ['WorkdirRelativePath:2']],
    ['FROM x\nWORKDIR /a\nWORKDIR b', []],
    ['FROM x\nWORKDIR a\nWORKDIR b', ['WorkdirRelativePath:2']],
    ['FROM x AS y\nWORKDIR /a\nFROM y\nWORKDIR b', []],
    ['FROM x\nARG d=/a\nWORKDIR $d', []],
    ['FROM x\nWORKDIR C:\\\\a', []],
    // UndefinedVar
    ['FROM scratch\nCOPY $foo .', ['UndefinedVar:2']],
    ['FROM scratch\nARG foo\nCOPY $foo .', []],
    ['FROM scratch\nARG foo=1\nCOPY $foo .', []],
    ['FROM scratch\nENV foo=1\nCOPY $foo .', []],
    ['ARG foo=1\nFROM scratch\nCOPY $foo .', ['UndefinedVar:3']],
    ['FROM scratch\nENV a=$PATH', []],
    ['FROM scratch\nENV a=${b:-c}', []],
    ['FROM scratch\nRUN echo $foo', []],
    ['FROM scratch\nCOPY <<E /a\n$foo\nE', ['UndefinedVar:2']],
    ['FROM scratch\nCOPY <<"E" /a\n$foo\nE', []],
    ['FROM scratch\nLABEL a=$foo', ['UndefinedVar:2']],
    ['FROM scratch\nUSER $foo', ['UndefinedVar:2']],
    ['FROM scratch\nEXPOSE $foo', ['UndefinedVar:2']],
    ['FROM scratch\nVOLUME $foo', ['UndefinedVar:2']],
    ['FROM scratch\nSTOPSIGNAL $foo', ['UndefinedVar:2']],
    ['FROM scratch\nWORKDIR /$foo', ['UndefinedVar:2']],
    ['FROM scratch\nARG a=$foo', ['UndefinedVar:2']],
    ['FROM scratch\nCOPY --chown=$foo a b', ['UndefinedVar:2']],
    ['FROM scratch AS x\nARG foo\nFROM x\nCOPY $foo .', []],
    // a base image that is not known may define anything, but a typing error is one
    ['FROM x\nENV a=$JAVA_HOME', []],
    ['FROM x\nENV VERSION=1\nENV a=$VERSOIN', ['UndefinedVar:3']],
    ['FROM x\nENV a=$JAVA_HOME', ['UndefinedVar:2'], { images: new Map([[0, { env: ['A=1'] }]]) }],
    ['FROM x\nENV a=$JAVA_HOME', [], { images: new Map([[0, { env: ['JAVA_HOME=/j'] }]]) }],
    // MultipleInstructionsDisallowed points at the one without effect
    ['FROM x\nCMD ["a"]\nCMD ["b"]', ['MultipleInstructionsDisallowed:2']],
    [
      'FROM x\nENTRYPOINT ["a"]\nENTRYPOINT ["b"]\nENTRYPOINT ["c"]',
      ['MultipleInstructionsDisallowed:2', 'MultipleInstructionsDisallowed:3'],
    ],
    ['FROM x\nHEALTHCHECK CMD a\nHEALTHCHECK NONE', ['MultipleInstructionsDisallowed:2']],
    ['FROM x AS y\nCMD ["a"]\nFROM y\nCMD ["b"]', []],
    // LegacyKeyValueFormat
    ['FROM x\nENV a b', ['LegacyKeyValueFormat:2']],
    ['FROM x\nLABEL a b', ['LegacyKeyValueFormat:2']],
    ['FROM x\nENV a=b', []],
    // InvalidBaseImagePlatform
    ['FROM x', ['InvalidBaseImagePlatform:1'], { images: new Map([[0, { env: [], platform: { os: 'linux', architecture: 'arm64' } }]]) }],
    [
      'ARG a\nFROM --platform=$a x',
      [],
      { buildArgs: { a: 'linux/arm64' }, images: new Map([[0, { env: [], platform: { os: 'linux', architecture: 'arm64' } }]]) },
    ],
    // RedundantTargetPlatform, FromPlatformFlagConstDisallowed
    ['FROM --platform=$TARGETPLATFORM x', ['RedundantTargetPlatform:1']],
    ['FROM --platform=${TARGETPLATFORM} x', ['RedundantTargetPlatform:1']],
    ['FROM --platform=$BUILDPLATFORM x', []],
    ['FROM --platform=linux/$TARGETARCH x', []],
    ['FROM --platform=linux/amd64 x', ['FromPlatformFlagConstDisallowed:1']],
    ['FROM --platform=linux/amd64 x AS build-amd64', []],
    ['FROM --platform=linux/amd64 x AS linux', []],
    ['ARG p=linux/amd64\nFROM --platform=$p x', []],
    // SecretsUsedInArgOrEnv
    ['FROM x\nARG GITHUB_TOKEN', ['SecretsUsedInArgOrEnv:2']],
    ['FROM x\nENV DB_PASSWORD=x', ['SecretsUsedInArgOrEnv:2']],
    ['FROM x\nENV secret_message=x', ['SecretsUsedInArgOrEnv:2']],
    ['FROM x\nENV API_KEY=x AUTH=y', ['SecretsUsedInArgOrEnv:2', 'SecretsUsedInArgOrEnv:2']],
    ['FROM x\nENV MONKEY=x TOKENS=y', []],
    ['FROM x\nENV PUBLIC_KEY=x TOKEN_FILE=y KEY_VERSION=z', []],
    ['ARG TOKEN\nFROM x', []],
    // InvalidDefaultArgInFrom
    ['ARG t\nFROM x:$t', ['InvalidDefaultArgInFrom:2'], { buildArgs: { t: '1' } }],
    ['ARG i\nFROM $i', ['InvalidDefaultArgInFrom:2'], { buildArgs: { i: 'x' } }],
    ['ARG t=1\nFROM x:$t', []],
    ['ARG t\nFROM x:${t:-1}', []],
    ['ARG t\nFROM x${t:+:$t}', []],
    // CopyIgnoredFile
    ['FROM x\nCOPY a.log b', ['CopyIgnoredFile:2'], { ignore: '*.log' }],
    ['FROM x\nADD a/b/c d', ['CopyIgnoredFile:2'], { ignore: 'a' }],
    ['FROM x\nCOPY a b', [], { ignore: '*.log' }],
    ['FROM x\nCOPY a.log b', []],
    ['FROM x\nCOPY a.log b', [], { ignore: '*.log\n!b' }],
    ['FROM x\nCOPY --from=y a.log b', [], { ignore: '*.log' }],
    ['FROM x\nADD https://a/b.log c', [], { ignore: '**' }],
    ['FROM x\nCOPY . /', [], { ignore: 'a' }],
    ['FROM x\nCOPY . /', ['CopyIgnoredFile:2'], { ignore: '*' }],
    ['FROM x\nCOPY / /', ['CopyIgnoredFile:2'], { ignore: '**/*' }],
    ['FROM x\nCOPY ./ /', [], { ignore: 'any*' }],
    ['FROM x\nCOPY a \\\n b.log c', ['CopyIgnoredFile:3'], { ignore: '*.log' }],
    // ExposeProtoCasing, ExposeInvalidFormat
    ['FROM x\nEXPOSE 80/TCP', ['ExposeProtoCasing:2']],
    ['FROM x\nEXPOSE 80/tcp', []],
    ['FROM x\nEXPOSE 8080:80', ['ExposeInvalidFormat:2']],
    ['FROM x\nEXPOSE 127.0.0.1:8080:80', ['ExposeInvalidFormat:2']],
    ['FROM x\nARG p=80/UDP\nEXPOSE $p', ['ExposeProtoCasing:3']],
    // InvalidDefinitionDescription is off by itself
    ['# hello\nARG a', []],
    ['# check=experimental=all\n# hello\nARG a\nFROM x', ['InvalidDefinitionDescription:3']],
    ['# check=experimental=all\n# a is good\nARG a\nFROM x', []],
    ['# check=experimental=InvalidDefinitionDescription\nFROM x\n# hello\nFROM y AS b', ['InvalidDefinitionDescription:4']],
    ['# check=experimental=all\nFROM x\n# hello\nFROM y', []],
    ['# check=experimental=all\n# b what b is\nARG a b\nFROM x', []],
  ])('%s', (text, expected, given) => {
    expect(found(text.includes('FROM') || text.includes('from') || text.startsWith('FrOM') ? text : `${text}\nFROM x`, given)).toEqual(
      expected,
    )
  })

  test('each rule is in one case at least', () => {
    const all = new Set<string>()
    const everything = [
      '# check=experimental=all',
      'ARG t',
      'FROM --platform=$TARGETPLATFORM x:$t$u as Build',
      'FROM --platform=linux/arm64 x AS build',
      '# no',
      'FROM x AS scratch',
      'MAINTAINER a',
      'workdir a',
      'ENV a b',
      'ARG TOKEN',
      'COPY a.log b',
      'CMD a \\',
      '',
      '  c',
      'CMD b',
      'EXPOSE 1:2/TCP',
      'ENV tokne=$TOKENE',
      'ENV x=$abcde xabcde=1',
      'ENV y=$abcdef abcdefg=1',
      'ENV z=$abcdefgh',
    ]
    for (const { rule } of warnings(everything.join('\n'), {
      ignore: '*.log',
      buildArgs: { t: '1' },
      images: new Map([[2, { env: [], platform: { os: 'linux', architecture: 's390x' } }]]),
    }))
      all.add(rule)
    expect([...all].sort()).toEqual([...ruleNames].sort())
  })

  test('messages name what to do', () => {
    expect(warnings('FROM scratch\nENV VERSION=1\nENV a=$VERSOIN').map(({ message }) => message)).toEqual([
      '$VERSOIN is not defined (did you mean $VERSION?)',
    ])
    expect(warnings('ARG version=1\nFROM x:1$versio').map(({ message }) => message)).toEqual([
      'FROM uses versio, which no ARG before the first FROM declares (did you mean version?)',
    ])
    expect(warnings('FROM x\nCOPY a.log b', { ignore: '\n*.log' })[0]?.message).toBe(
      'COPY of "a.log", which .dockerignore leaves out (line 2: *.log)',
    )
  })

  test('only the stages that are asked for', () => {
    expect(found('FROM x AS a\nCMD a\nFROM x\nCMD b', { stages: new Set([1]) })).toEqual(['JSONArgsRecommended:4'])
  })

  test('what no build could do is an error', () => {
    expect(() => warnings('FROM scratch\nENV a="${b?is needed}"')).toThrow('b: is needed')
    expect(() => warnings('FROM $nothing')).toThrow('should not be blank')
  })

  test('triggers of a base stage are evaluated where they run', () => {
    expect(found('FROM scratch AS a\nONBUILD ENV x=$foo\nFROM a')).toEqual(['UndefinedVar:2'])
    expect(found('FROM scratch AS a\nARG foo\nONBUILD ENV x=$foo\nFROM a')).toEqual([])
  })
})

describe('# check=', () => {
  const text = 'FROM x AS Build\nCMD a\nMAINTAINER b'

  test.each<[string, string[]]>([
    ['', ['StageNameCasing', 'JSONArgsRecommended', 'MaintainerDeprecated']],
    ['# check=skip=all\n', []],
    ['# check=skip=StageNameCasing\n', ['JSONArgsRecommended', 'MaintainerDeprecated']],
    ['# check=skip=StageNameCasing,MaintainerDeprecated;error=true\n', ['JSONArgsRecommended']],
    ['# check=error=true\n', ['StageNameCasing', 'JSONArgsRecommended', 'MaintainerDeprecated']],
    ['# check=skip=stagenamecasing\n', ['StageNameCasing', 'JSONArgsRecommended', 'MaintainerDeprecated']],
    ['# comment first\n# check=skip=StageNameCasing\n', ['JSONArgsRecommended', 'MaintainerDeprecated']],
  ])('%j', (directive, expected) => {
    expect(warnings(directive + text).map(({ rule }) => rule)).toEqual(expected)
  })

  test('above one instruction', () => {
    expect(found('FROM x\n# check=skip=JSONArgsRecommended\nCMD a\nENTRYPOINT b')).toEqual(['JSONArgsRecommended:4'])
    expect(found('FROM x\n# check=skip=all because\nCMD a')).toEqual([])
    expect(found('FROM x\n# check=skip\nCMD a')).toEqual(['JSONArgsRecommended:3'])
  })

  test('the build argument overrides the file', () => {
    expect(found(`# check=skip=all\n${text}`, { buildArgs: { BUILDKIT_DOCKERFILE_CHECK: 'skip=StageNameCasing' } })).toEqual([
      'JSONArgsRecommended:3',
      'MaintainerDeprecated:4',
    ])
  })

  test('options', () => {
    expect(parseCheck('skip=A, B ; error = true;experimental=all')).toEqual({ skip: new Set(['A', 'B']), error: true, experimental: 'all' })
    expect(checkOptions(parseDockerfile('# check=error=true\nFROM x', { file: 'D' })).error).toBe(true)
  })

  test.each([
    ['# check=skpi=all\nFROM x', 'invalid check option "skpi=all"', 'Did you mean skip?'],
    ['# check=foo\nFROM x', 'invalid check option "foo"', expect.any(String)],
    ['# syntax=x\n# check=error=maybe\nFROM x', 'the check option error must be true or false, not "maybe"', expect.any(String)],
  ])('%j: an error at the directive', (file, message, hint) => {
    expect(() => warnings(file)).toThrow(
      expect.objectContaining({
        message,
        hint,
        span: expect.objectContaining({ line: file.split('\n').findIndex((line) => line.includes('check')) + 1 }),
      }),
    )
  })
})

describe('reports', () => {
  const text = 'FROM x\n\tEXPOSE 80 \\\n  90/UDP\nCMD a b\n'
  const all = warnings(text)

  test('text, with a marker under the place', () => {
    expect(formatWarnings(all, text)).toBe(
      [
        'Dockerfile:3:3: ExposeProtoCasing: the protocol of "90/UDP" should be in lower case',
        '  3 |   90/UDP',
        '    |   ^^^^^^',
        '',
        'Dockerfile:4:1: JSONArgsRecommended: write CMD in JSON form: a shell in between does not pass signals on',
        '  4 | CMD a b',
        '    | ^^^^^^^',
        '',
      ].join('\n'),
    )
    expect(formatWarnings([], text)).toBe('')
  })

  test('JSON', () => {
    const sources = [{ filename: 'Dockerfile', data: Buffer.from(text).toString('base64'), language: 'Dockerfile' }]
    expect(checkJson(all, { file: 'Dockerfile', text })).toEqual({
      warnings: [
        {
          ruleName: 'ExposeProtoCasing',
          description: expect.any(String),
          url: 'https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/',
          detail: expect.any(String),
          location: { ranges: [{ start: { line: 3, character: 2 }, end: { line: 3, character: 8 } }] },
        },
        {
          ruleName: 'JSONArgsRecommended',
          description: expect.any(String),
          url: 'https://docs.docker.com/go/dockerfile/rule/json-args-recommended/',
          detail: expect.any(String),
          location: { ranges: [{ start: { line: 4 }, end: { line: 4, character: 7 } }] },
        },
      ],
      sources,
    })
    const span = { file: 'Dockerfile', line: 2, column: 1, endLine: 2, endColumn: 4 }
    expect(checkJson([], { file: 'Dockerfile', text }, new StaveError('dockerfile', 'unknown instruction RUM', { span }))).toEqual({
      warnings: [],
      sources,
      buildError: {
        message: 'unknown instruction RUM',
        location: { ranges: [{ start: { line: 2 }, end: { line: 2, character: 3 } }] },
      },
    })
  })

  test('SARIF', () => {
    const sarif = JSON.parse(warningsToSarif(all, { version: '1.2.3', isError: true })) as {
      version: string
      runs: { tool: { driver: { name: string; version: string; rules: { id: string }[] } }; results: Record<string, unknown>[] }[]
    }
    expect(sarif.version).toBe('2.1.0')
    const [run] = sarif.runs
    expect(run?.tool.driver).toMatchObject({ name: 'stave', version: '1.2.3' })
    expect(run?.tool.driver.rules.map(({ id }) => id)).toEqual(ruleNames)
    expect(run?.results[1]).toEqual({
      ruleId: 'JSONArgsRecommended',
      ruleIndex: ruleNames.indexOf('JSONArgsRecommended'),
      level: 'error',
      message: { text: expect.any(String) },
      locations: [
        {
          physicalLocation: { artifactLocation: { uri: 'Dockerfile' }, region: { startLine: 4, startColumn: 1, endLine: 4, endColumn: 8 } },
        },
      ],
    })
  })
})
