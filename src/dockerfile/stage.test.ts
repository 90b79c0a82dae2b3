import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { parseDockerfile, parseInstruction } from './parse.ts'
import {
  findTarget,
  reachableStages,
  resolveFrom,
  resolveGlobals,
  resolveStages,
  stageInstructions,
  type StageOptions,
  type Triggers,
} from './stage.ts'

const amd64 = { os: 'linux', architecture: 'amd64' }
const arm = { os: 'linux', architecture: 'arm', variant: 'v7' }

function options(buildArgs: Record<string, string> = {}, more: Partial<StageOptions> = {}): StageOptions {
  return { buildArgs: new Map(Object.entries(buildArgs)), targetPlatform: amd64, buildPlatform: amd64, ...more }
}

function resolve(text: string, buildArgs: Record<string, string> = {}, more: Partial<StageOptions> = {}) {
  const file = parseDockerfile(text, { file: 'D' })
  const globals = resolveGlobals(file, options(buildArgs, more))
  return { globals, stages: resolveStages(file, globals) }
}

function failure(work: () => unknown): StaveError {
  try {
    work()
  } catch (error) {
    if (error instanceof StaveError) return error
    throw error
  }
  throw new Error('did not fail')
}

describe('global ARGs', () => {
  test.each<[string, string, Record<string, string>, string | undefined]>([
    ['a default', 'ARG x=1', {}, '1'],
    ['no default', 'ARG x', {}, undefined],
    ['a build argument beats the default', 'ARG x=1', { x: '2' }, '2'],
    ['an empty build argument does, too', 'ARG x=1', { x: '' }, ''],
    ['a build argument without ARG does not count', 'ARG y', { x: '2' }, undefined],
    ['a default sees ARGs before it', 'ARG a=1\nARG x=${a}2', {}, '12'],
    ['and as the build argument has them', 'ARG a=1\nARG x=${a}2', { a: '5' }, '52'],
    ['of the same instruction, too', 'ARG a=1 x=$a', {}, '1'],
    ['but not those after it', 'ARG x=$a\nARG a=1', {}, ''],
    ['a default of a default', 'ARG a\nARG x=${a:-d}', {}, 'd'],
    ['platform ARGs', 'ARG x=$TARGETARCH-$BUILDOS', {}, 'amd64-linux'],
    ['quotes are removed', 'ARG x="a b"', {}, 'a b'],
    ['the last one wins', 'ARG x=1\nARG x=2', {}, '2'],
    ['a build argument that is not expanded', 'ARG a=1\nARG x', { x: '$a' }, '$a'],
  ])('%s', (_name, text, buildArgs, expected) => {
    expect(resolve(`${text}\nFROM y`, buildArgs).globals.values.get('x')).toBe(expected)
  })

  test('platform arguments', () => {
    const { values } = resolve('FROM x AS y', {}, { targetPlatform: arm, buildPlatform: { os: 'linux', architecture: 'arm64' } }).globals
    expect(Object.fromEntries(values)).toEqual({
      BUILDPLATFORM: 'linux/arm64',
      BUILDOS: 'linux',
      BUILDOSVERSION: '',
      BUILDARCH: 'arm64',
      BUILDVARIANT: '',
      TARGETPLATFORM: 'linux/arm/v7',
      TARGETOS: 'linux',
      TARGETOSVERSION: '',
      TARGETARCH: 'arm',
      TARGETVARIANT: 'v7',
      TARGETSTAGE: 'y',
    })
  })

  test('TARGETSTAGE is the target, or the name of the last stage, or "default"', () => {
    expect(resolve('FROM x AS a\nFROM y AS b', {}, { target: 'a' }).globals.values.get('TARGETSTAGE')).toBe('a')
    expect(resolve('FROM x AS a\nFROM y').globals.values.get('TARGETSTAGE')).toBe('default')
  })

  test('a build argument overrides a platform argument', () => {
    expect(resolve('FROM x', { TARGETARCH: 'riscv64' }).globals.values.get('TARGETARCH')).toBe('riscv64')
  })

  test('an error points at the ARG', () => {
    expect(failure(() => resolve('ARG a=1 \\\n b="${c?no c}"\nFROM x'))).toMatchObject({ message: 'c: no c', span: { line: 2, column: 2 } })
  })
})

describe('FROM', () => {
  test.each<[string, string, object]>([
    ['an image', 'FROM a:1', { base: { kind: 'image', name: 'a:1' } }],
    ['scratch', 'FROM scratch', { base: { kind: 'scratch' } }],
    ['an earlier stage', 'FROM x AS a\nFROM a', { base: { kind: 'stage', index: 0 } }],
    ['the last of that name', 'FROM x AS a\nFROM y AS a\nFROM a', { base: { kind: 'stage', index: 1 } }],
    ["an image of the stage's own name", 'FROM a AS a', { base: { kind: 'image', name: 'a' } }],
    ['the stage before of the same name', 'FROM x AS a\nFROM a AS a', { base: { kind: 'stage', index: 0 } }],
    ['a later stage is an image', 'FROM b AS a\nFROM x AS b\nFROM a', { base: { kind: 'stage', index: 0 } }],
    ['a number is an image', 'FROM x\nFROM 0', { base: { kind: 'image', name: '0' } }],
    ['another case is an image', 'FROM x AS a\nFROM A', { base: { kind: 'image', name: 'A' } }],
    ['a name in upper case is lowered', 'FROM x AS A\nFROM a', { base: { kind: 'stage', index: 0 } }],
    ['a tag makes it an image', 'FROM x AS a\nFROM a:latest', { base: { kind: 'image', name: 'a:latest' } }],
    ['a variable', 'ARG v=1\nFROM a:$v', { base: { kind: 'image', name: 'a:1' } }],
    ['a variable that is a stage', 'ARG v=a\nFROM x AS a\nFROM $v', { base: { kind: 'stage', index: 0 } }],
    ['a default in the form', 'FROM a:${v:-3}', { base: { kind: 'image', name: 'a:3' } }],
    ['an ARG of a stage is not seen', 'FROM x\nARG v=1\nFROM a$v', { base: { kind: 'image', name: 'a' } }],
    ['a stage called scratch replaces it', 'FROM x AS scratch\nFROM scratch', { base: { kind: 'stage', index: 0 } }],
    ['a platform', 'FROM --platform=linux/arm64/v8 a', { platform: { os: 'linux', architecture: 'arm64' } }],
    ['a platform by its architecture', 'FROM --platform=arm64 a', { platform: { os: 'linux', architecture: 'arm64' } }],
    ['$BUILDPLATFORM', 'FROM --platform=$BUILDPLATFORM a', { platform: amd64 }],
  ])('%s', (_name, text, expected) => {
    expect(resolve(text).stages.at(-1)).toMatchObject(expected)
  })

  test.each<[string, string, string, string]>([
    [
      'blank',
      'FROM $x',
      'the base name $x of a stage should not be blank',
      'x is not declared: FROM sees only ARGs that stand before the first FROM.',
    ],
    [
      'blank, a typing error',
      'ARG version=1\nFROM $versoin',
      'the base name $versoin of a stage should not be blank',
      'Did you mean version?',
    ],
    [
      'blank, no value',
      'ARG x\nFROM $x',
      'the base name $x of a stage should not be blank',
      'ARG x has no value: give it a default, or set it with --build-arg x=VALUE.',
    ],
    ['empty platform', 'FROM --platform=$TARGETPLATFROM a', 'the platform $TARGETPLATFROM is empty', 'Did you mean TARGETPLATFORM?'],
    ['wrong platform', 'FROM --platform=a/b/c/d a', 'invalid platform "a/b/c/d"', 'A platform is written linux/amd64 or linux/arm/v7.'],
  ])('%s: an error', (_name, text, message, hint) => {
    expect(failure(() => resolve(text))).toMatchObject({ code: 'dockerfile', message, hint, span: { file: 'D' } })
  })
})

describe('--from', () => {
  const text = 'FROM x AS a\nFROM y\nFROM z AS b\nRUN r\nFROM w AS a\nRUN s\nFROM v'
  const at = (stage: number, what: 'COPY' | 'RUN' = 'COPY') => ({
    stage,
    what,
    span: { file: 'D', line: 9, column: 1, endLine: 9, endColumn: 2 },
  })
  const { stages } = resolve(text)

  test.each<[string, number, 'COPY' | 'RUN', object]>([
    ['a', 2, 'COPY', { kind: 'stage', index: 0 }],
    ['A', 2, 'COPY', { kind: 'stage', index: 0 }],
    ['a', 4, 'COPY', { kind: 'stage', index: 3 }],
    ['1', 2, 'COPY', { kind: 'stage', index: 1 }],
    ['0', 4, 'COPY', { kind: 'stage', index: 0 }],
    ['b', 3, 'RUN', { kind: 'stage', index: 2 }],
    ['1', 3, 'RUN', { kind: 'image', name: '1' }],
    ['debian:12', 3, 'COPY', { kind: 'image', name: 'debian:12' }],
    ['scratch', 3, 'RUN', { kind: 'scratch' }],
  ])('%s in stage %i of %s', (from, stage, what, expected) => {
    expect(resolveFrom(stages, from, at(stage, what))).toEqual(expected)
  })

  test.each<[string, number, string]>([
    ['b', 1, 'cannot take from stage "b": it needs to be defined before stage stage-1'],
    ['3', 1, 'cannot take from stage "3": it needs to be defined before stage stage-1'],
    ['b', 2, 'circular dependency: stage b takes from itself'],
    ['2', 2, 'circular dependency: stage b takes from itself'],
    ['5', 2, 'there is no stage 5'],
    ['-1', 2, 'there is no stage -1'],
    ['$x', 2, '--from=$x cannot hold a variable'],
    ['a${x}', 2, '--from=a${x} cannot hold a variable'],
  ])('%s in stage %i: an error', (from, stage, message) => {
    expect(failure(() => resolveFrom(stages, from, at(stage)))).toMatchObject({ message, span: { line: 9 } })
  })
})

describe('the target', () => {
  const { stages } = resolve('FROM x AS build\nFROM y AS test\nFROM z')

  test('by name in any case, by number, or the last', () => {
    expect(findTarget(stages, 'build').index).toBe(0)
    expect(findTarget(stages, 'TEST').index).toBe(1)
    expect(findTarget(stages, '2').index).toBe(2)
    expect(findTarget(stages).index).toBe(2)
    expect(findTarget(stages, '').index).toBe(2)
    expect(findTarget(resolve('FROM x AS a\nFROM y AS a\nFROM z').stages, 'a').index).toBe(1)
  })

  test('one that is not there', () => {
    expect(failure(() => findTarget(stages, 'biuld'))).toMatchObject({
      message: 'there is no stage called "biuld"',
      hint: 'Did you mean build?',
    })
    expect(failure(() => findTarget(stages, 'xxxxxx')).hint).toBe('The stages are build, test.')
    expect(failure(() => findTarget(resolve('FROM x').stages, 'y')).hint).toBe('No stage has a name.')
  })
})

describe('what is built', () => {
  const names = (text: string, target?: string, triggers?: Triggers): string[] => {
    const { stages } = resolve(text)
    return reachableStages(stages, findTarget(stages, target).index, triggers).map((index) => stages[index]?.stage.name ?? String(index))
  }

  test.each<[string, string, string[]]>([
    ['the last stage alone', 'FROM x AS a\nFROM y AS b', ['b']],
    ['its base', 'FROM x AS a\nFROM z AS u\nFROM a AS b', ['a', 'b']],
    ['where it copies from', 'FROM x AS a\nFROM z AS u\nFROM y AS b\nCOPY --from=a p q', ['a', 'b']],
    ['by number', 'FROM x AS a\nFROM z AS u\nFROM y AS b\nCOPY --from=1 p q', ['u', 'b']],
    ['what it mounts', 'FROM x AS a\nFROM z AS u\nFROM y AS b\nRUN --mount=from=u,target=/u c', ['u', 'b']],
    ['over several steps', 'FROM x AS a\nFROM a AS c\nFROM z AS u\nFROM y AS b\nCOPY --from=c p q', ['a', 'c', 'b']],
    ['each once', 'FROM x AS a\nFROM a AS l\nFROM a AS r\nFROM y AS b\nCOPY --from=l p q\nCOPY --from=r p q', ['a', 'l', 'r', 'b']],
    ['ONBUILD of its base', 'FROM x AS u\nFROM x AS a\nONBUILD COPY --from=u p q\nFROM a AS b', ['u', 'a', 'b']],
    ['ONBUILD counts only in the next stage', 'FROM x AS u\nFROM x AS a\nONBUILD COPY --from=u p q', ['a']],
  ])('%s', (_name, text, expected) => {
    expect(names(text)).toEqual(expected)
  })

  test('a target in the middle', () => {
    expect(names('FROM x AS a\nFROM a AS b\nFROM b AS c', 'b')).toEqual(['a', 'b'])
  })

  test("stages that a base image's triggers take from", () => {
    const triggers: Triggers = new Map([[1, [parseInstruction('COPY --from=src /a /b', { file: 'D' })]]])
    expect(names('FROM x AS src\nFROM y AS b', undefined, triggers)).toEqual(['src', 'b'])
    expect(names('FROM x AS src\nFROM y AS b')).toEqual(['b'])
  })

  test('a trigger of a base image that takes from the stage itself', () => {
    const triggers: Triggers = new Map([[0, [parseInstruction('COPY --from=b /a /b', { file: 'D' })]]])
    expect(() => names('FROM y AS b', undefined, triggers)).toThrow('circular dependency')
  })

  test('100 stages that all take from all before', () => {
    const text = Array.from(
      { length: 100 },
      (_, i) => `FROM x AS s${i}\n${Array.from({ length: i }, (__, j) => `COPY --from=s${j} a b\n`).join('')}`,
    ).join('')
    expect(names(text)).toHaveLength(100)
  })
})

test('triggers run first: those of the image, or those of the base stage, but not of its base', () => {
  const { stages } = resolve('FROM x AS a\nONBUILD RUN one\nFROM a AS b\nONBUILD RUN two\nRUN own\nFROM b AS c\nRUN last')
  const commands = (index: number, triggers?: Triggers) =>
    stageInstructions(stages, index, triggers).map(({ instruction, trigger }) => `${trigger ? 'trigger ' : ''}${instruction.text}`)
  expect(commands(1)).toEqual(['trigger RUN one', 'ONBUILD RUN two', 'RUN own'])
  expect(commands(2)).toEqual(['trigger RUN two', 'RUN last'])
  expect(commands(0, new Map([[0, [parseInstruction('RUN image', { file: 'D' })]]]))).toEqual(['trigger RUN image', 'ONBUILD RUN one'])
})
