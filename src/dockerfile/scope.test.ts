import { describe, expect, test } from 'vitest'
import type { InstructionOf } from './instruction.ts'
import { parseDockerfile } from './parse.ts'
import { createScope, type Scope } from './scope.ts'
import { resolveGlobals } from './stage.ts'

interface Given {
  readonly buildArgs?: Record<string, string>
  readonly env?: readonly string[]
}

/** Takes the ARG and ENV instructions of all stages, each stage based on the one before. */
function run(text: string, { buildArgs = {}, env = ['PATH=/bin'] }: Given = {}): { scope: Scope; history: string[] } {
  const file = parseDockerfile(text, { file: 'D' })
  const args = new Map(Object.entries(buildArgs))
  const platform = { os: 'linux', architecture: 'amd64' }
  const globals = resolveGlobals(file, { buildArgs: args, targetPlatform: platform, buildPlatform: platform })
  let scope = createScope({ globals, buildArgs: args, env, escape: file.directives.escape })
  const history: string[] = []
  file.stages.forEach((stage, i) => {
    if (i > 0) scope = scope.child()
    for (const instruction of stage.instructions) {
      if (instruction.kind === 'ARG')
        history.push(...scope.declare(instruction).map(({ key, value }) => (value === undefined ? key : `${key}=${value}`)))
      if (instruction.kind === 'ENV') setAll(scope, instruction)
    }
  })
  return { scope, history }
}

function setAll(scope: Scope, instruction: InstructionOf<'ENV'>): void {
  const pairs = instruction.pairs.map(({ key, value }) => [scope.expand(key), scope.expand(value)] as const)
  for (const [key, value] of pairs) scope.set(key, value)
}

describe('what RUN sees', () => {
  test.each<[string, string, Given, string[]]>([
    ["the base image's", 'FROM x', { env: ['PATH=/p', 'A=1'] }, ['PATH=/p', 'A=1']],
    ['PATH where there is none', 'FROM x', { env: [] }, ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']],
    ['an empty PATH stays', 'FROM x', { env: ['PATH='] }, ['PATH=']],
    ['ENV', 'FROM x\nENV a=1 b=2', {}, ['PATH=/bin', 'a=1', 'b=2']],
    ['ENV again keeps its place', 'FROM x\nENV a=1 b=2\nENV a=3', {}, ['PATH=/bin', 'a=3', 'b=2']],
    ['ENV sees itself as before', 'FROM x\nENV a=1\nENV a=2 b=$a', {}, ['PATH=/bin', 'a=2', 'b=1']],
    ['ENV with a key that is a variable', 'FROM x\nENV a=k\nENV $a=1', {}, ['PATH=/bin', 'a=k', 'k=1']],
    ['ARG with default', 'FROM x\nARG a=1', {}, ['PATH=/bin', 'a=1']],
    ['ARG without value', 'FROM x\nARG a', {}, ['PATH=/bin']],
    ['ARG with build argument', 'FROM x\nARG a=1', { buildArgs: { a: '2' } }, ['PATH=/bin', 'a=2']],
    ['ARG with an empty build argument', 'FROM x\nARG a=1', { buildArgs: { a: '' } }, ['PATH=/bin', 'a=']],
    ['a build argument without ARG', 'FROM x', { buildArgs: { a: '2' } }, ['PATH=/bin']],
    ['ARG imports a global', 'ARG a=g\nFROM x\nARG a', {}, ['PATH=/bin', 'a=g']],
    ['ARG with default does not', 'ARG a=g\nFROM x\nARG a=d', {}, ['PATH=/bin', 'a=d']],
    ['ARG with default, and a build argument for both', 'ARG a=g\nFROM x\nARG a=d', { buildArgs: { a: 'b' } }, ['PATH=/bin', 'a=b']],
    ['a global that is not imported', 'ARG a=g\nFROM x', {}, ['PATH=/bin']],
    ['a platform ARG', 'FROM x\nARG TARGETARCH', {}, ['PATH=/bin', 'TARGETARCH=amd64']],
    ['a platform ARG with default', 'FROM x\nARG TARGETARCH=z', {}, ['PATH=/bin', 'TARGETARCH=z']],
    ['several names in order', 'FROM x\nARG a=1 b=${a}2 c', {}, ['PATH=/bin', 'a=1', 'b=12']],
    ['ENV after ARG wins', 'FROM x\nARG a=1\nENV a=2', {}, ['PATH=/bin', 'a=2']],
    ['ARG after ENV wins for RUN', 'FROM x\nENV a=1\nARG a=2', {}, ['PATH=/bin', 'a=2']],
    ['ARG without value does not hide ENV', 'FROM x\nENV a=1\nARG a', {}, ['PATH=/bin', 'a=1']],
    ['ARG sees ENV', 'FROM x\nENV a=1\nARG b=$a', {}, ['PATH=/bin', 'a=1', 'b=1']],
    ['ENV keeps an ARG', 'FROM x\nARG a=1\nENV a=${a}', {}, ['PATH=/bin', 'a=1']],
    ['the documented way to default', 'FROM x\nARG v\nENV v=${v:-1.0}', {}, ['PATH=/bin', 'v=1.0']],
    ['a stage inherits ARG and ENV', 'FROM x AS y\nARG a=1\nENV b=2\nFROM y\nENV c=$a$b', {}, ['PATH=/bin', 'a=1', 'b=2', 'c=12']],
    ['arguments for the builder are not there', 'FROM x\nARG BUILDKIT_SBOM_SCAN_STAGE=true', {}, ['PATH=/bin']],
    ['a default that is not needed may be wrong', 'FROM x\nARG a=${b?no}', { buildArgs: { a: '1' } }, ['PATH=/bin', 'a=1']],
  ])('%s', (_name, text, given, expected) => {
    expect(run(text, given).scope.runEnv()).toEqual(expected)
  })
})

test('the image config holds ENV only', () => {
  expect(run('FROM x\nENV a=1 \nARG a=2 b=3\nENV c=$a').scope.env()).toEqual(['PATH=/bin', 'a=1', 'c=2'])
})

test('history: which ARGs were declared, with what value', () => {
  const { scope, history } = run('ARG g=1\nFROM x\nARG g\nARG a=2 b\nARG b=3\nENV a=env')
  expect(history).toEqual(['g=1', 'a=2', 'b', 'b=3'])
  expect(scope.runArgs()).toEqual(['g=1', 'a=env', 'b=3'])
  expect(run('FROM x\nARG a').scope.runArgs()).toEqual(['a='])
})

describe('proxies', () => {
  test('reach RUN in both cases without an ARG', () => {
    const { scope } = run('FROM x', { buildArgs: { HTTP_PROXY: 'h', no_proxy: 'n', all_proxy: 'a' } })
    expect(scope.proxyEnv()).toEqual(['HTTP_PROXY=h', 'http_proxy=h', 'NO_PROXY=n', 'no_proxy=n', 'ALL_PROXY=a', 'all_proxy=a'])
    expect(scope.runEnv()).toEqual(['PATH=/bin'])
    expect(scope.runArgs()).toEqual([])
  })

  test('are not for expansion', () => {
    expect(run('FROM x\nENV a=$HTTP_PROXY', { buildArgs: { HTTP_PROXY: 'h' } }).scope.env()).toEqual(['PATH=/bin', 'a='])
  })

  test('an ARG or ENV of the same name is what counts', () => {
    const { scope } = run('FROM x\nARG HTTP_PROXY\nENV https_proxy=own', { buildArgs: { HTTP_PROXY: 'h', HTTPS_PROXY: 's' } })
    expect(scope.runEnv()).toEqual(['PATH=/bin', 'HTTP_PROXY=h', 'https_proxy=own'])
    expect(scope.proxyEnv()).toEqual(['http_proxy=h', 'HTTPS_PROXY=s'])
  })
})

test('a child does not change its parent', () => {
  const { scope } = run('FROM x\nENV a=1')
  const child = scope.child()
  child.set('a', '2')
  expect(scope.env()).toEqual(['PATH=/bin', 'a=1'])
  expect(child.env()).toEqual(['PATH=/bin', 'a=2'])
})

test.each<[string, string, Given, string[]]>([
  ['an ENV that an ARG had replaced', 'FROM x AS a\nENV G=env\nARG G=arg\nFROM a', {}, ['PATH=/bin', 'G=env']],
  ['the same where the ARG is given', 'FROM x AS a\nENV G=env\nARG G\nFROM a', { buildArgs: { G: 'given' } }, ['PATH=/bin', 'G=env']],
  ['an ARG without an ENV', 'FROM x AS a\nARG G=arg\nFROM a', {}, ['PATH=/bin', 'G=arg']],
  ['an ARG that is declared again', 'FROM x AS a\nENV G=env\nFROM a\nARG G=arg', {}, ['PATH=/bin', 'G=arg']],
])('a stage that is based on another one sees %s', (_name, text, given, expected) => {
  expect(run(text, given).scope.runEnv()).toEqual(expected)
})

test('values that double with each line end in an error, not in the memory', () => {
  const doubling = (count: number): string =>
    `FROM x\nENV a0=xxxxxxxxxx\n${Array.from({ length: count }, (_, i) => `ENV a${i + 1}=$a${i}$a${i}\n`).join('')}`
  expect(() => run(doubling(60))).toThrow('the expansion of "$a16$a16" is longer than')
  const copies = Array.from({ length: 20 }, (_, i) => `ENV b${i}=$a16\n`).join('')
  expect(() => run(doubling(16) + copies)).toThrow('the variables of the stage hold more than')
})

test('an ARG error has its place', () => {
  expect(() => run('FROM x\nARG a=1 b=${c?no}')).toThrow(
    expect.objectContaining({ message: 'c: no', span: expect.objectContaining({ line: 2, column: 9 }) }),
  )
})
