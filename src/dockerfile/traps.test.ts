// Those that show in files only are in `integration-tests/traps.test.ts`, with the same numbers.
import { describe, expect, test } from 'vitest'
import { matchIgnore, parseIgnore } from './ignore.ts'
import type { Dockerfile, Instruction } from './instruction.ts'
import { parseDockerfile, parseInstruction } from './parse.ts'
import { runCommand } from './run.ts'
import { createScope, defaultPath } from './scope.ts'
import { reachableStages, resolveGlobals, resolveStages, stageInstructions } from './stage.ts'
import { parseChmod, parseChown } from './values.ts'

// The cases that builders get wrong most often, as far as the language decides them. The others are decided by
// file trees, and tested where those are.

const parse = (text: string): Dockerfile => parseDockerfile(text, { file: 'Dockerfile' })
const body = (text: string): readonly Instruction[] => parse(`FROM x\n${text}`).stages.at(-1)?.instructions ?? []
const commands = (text: string): unknown[] => body(text).map((each) => (each.kind === 'RUN' ? each.command.args[0] : each.kind))
const amd64 = { os: 'linux', architecture: 'amd64' }

function resolve(text: string, args: Record<string, string> = {}) {
  const file = parse(text)
  const buildArgs = new Map(Object.entries(args))
  const globals = resolveGlobals(file, { buildArgs, targetPlatform: amd64, buildPlatform: amd64 })
  return { file, globals, buildArgs, stages: resolveStages(file, globals) }
}

/** The environment of a RUN at the end of the last stage, which is based on an image. */
function runEnvironment(text: string, args: Record<string, string> = {}): string[] {
  const { file, globals, buildArgs } = resolve(text, args)
  const scope = createScope({ globals, buildArgs, env: [], escape: '\\', addPath: false })
  for (const instruction of file.stages.at(-1)?.instructions ?? []) {
    if (instruction.kind === 'ARG') scope.declare(instruction)
    if (instruction.kind !== 'ENV') continue
    const pairs = instruction.pairs.map(({ key, value }) => [scope.expand(key), scope.expand(value)] as const)
    for (const [key, value] of pairs) scope.set(key, value)
  }
  return scope.runEnv()
}

describe('trap 1: two escapes at the end of a line; comments and blank lines within a continuation', () => {
  test('`\\\\` does not continue a line', () => {
    expect(commands('RUN echo foo\\\\\nRUN b')).toEqual(['echo foo\\\\', 'b'])
  })
  test('a comment neither ends the instruction nor belongs to it', () => {
    expect(commands('RUN a \\\n# c\n  && b\nRUN d')).toEqual(['a   && b', 'd'])
  })
  test('a comment that ends with an escape does not swallow the next line', () => {
    expect(commands('# c \\\nRUN a')).toEqual(['a'])
  })
  test('a blank line does not end the instruction', () => {
    expect(commands('RUN a \\\n\n  && b')).toEqual(['a   && b'])
  })
})

describe('trap 2: what looks like JSON', () => {
  test('but is none is shell text, silently', () => {
    for (const text of ["['a']", '["a",]', '["a"] b'])
      expect(body(`CMD ${text}`)[0]).toMatchObject({ command: { form: 'shell', args: [text] } })
  })
  test('and is one of other things than strings is an error', () => {
    expect(() => body('CMD ["a", 1]')).toThrow('must hold strings only')
  })
  test('keeps its blanks and escapes', () => {
    expect(body('CMD ["a  b", "\\u0041"]')[0]).toMatchObject({ command: { form: 'exec', args: ['a  b', 'A'] } })
  })
})

describe('trap 3: heredocs', () => {
  const run = (text: string) => runCommand(body(text)[0] as Extract<Instruction, { kind: 'RUN' }>, ['/bin/sh', '-c'])

  test('with other words the shell does them', () => {
    expect(run('RUN cat <<A > f\n$x\nA').args).toEqual(['/bin/sh', '-c', 'cat <<A > f\n$x\nA'])
  })
  test('alone with #! they are a program', () => {
    expect(run('RUN <<A\n#!/bin/awk -f\nA')).toEqual({ args: ['/dev/pipes/A'], script: { name: 'A', content: '#!/bin/awk -f\n' } })
  })
  test('<<- strips tabs, not blanks', () => {
    expect(run('RUN <<-A\n\t \tx\n\tA').args[2]).toBe(' \tx\n')
  })
  test('two on a line are read in order', () => {
    expect(body('COPY <<a <<b /x/\n1\na\n2\nb')[0]).toMatchObject({ heredocs: [{ content: '1\n' }, { content: '2\n' }] })
  })
  test('only those of COPY and ADD are expanded, unless quoted', () => {
    expect(body('COPY <<a <<"b" /x/\na\nb')[0]).toMatchObject({ heredocs: [{ expand: true }, { expand: false }] })
    expect(run('RUN <<A\n$HOME\nA').args[2]).toBe('$HOME\n')
  })
  test('`3<<EOF`, `<< EOF` and `<<"E F"` are heredocs, their bodies no instructions', () => {
    for (const [word, end] of [
      ['3<<EOF', 'EOF'],
      ['<< EOF', 'EOF'],
      ['<<"E F"', 'E F'],
    ])
      expect(body(`RUN cat ${word}\nFROM y\n${end}\nRUN b`)).toHaveLength(2)
  })
})

test('trap 4: an instruction sees the variables from before it', () => {
  expect(runEnvironment('FROM x\nENV a=0\nENV a=1 b=$a')).toEqual(['a=1', 'b=0'])
  expect(runEnvironment('FROM x\nARG a=1 b=$a')).toEqual(['a=1', 'b=1'])
})

test('trap 5: --chown=1000 names no group, which the copy makes the same number', () => {
  expect(parseChown('1000')).toEqual({ user: '1000' })
})

test('trap 6: --chmod is octal or symbolic, and only the octal one counts for made directories', () => {
  expect(parseChmod('644').kind).toBe('octal')
  expect(parseChmod('u=rwX,go=rX').kind).toBe('symbolic')
})

describe('trap 11: ! below a directory that is left out', () => {
  const patterns = parseIgnore('node_modules\n!node_modules/keep\n')
  test('brings back what it names', () => {
    expect(matchIgnore(patterns, 'node_modules/keep/a.js')).toBe(false)
    expect(matchIgnore(patterns, 'node_modules/other')).toBe(true)
  })
  test('only if it stands after the pattern that it undoes', () => {
    expect(matchIgnore(parseIgnore('!node_modules/keep\nnode_modules\n'), 'node_modules/keep')).toBe(true)
  })
})

describe('trap 14: ONBUILD that takes from other stages', () => {
  test('of an image: the stages of this file are meant', () => {
    const { stages } = resolve('FROM x AS src\nFROM y AS unused\nFROM z')
    const triggers = new Map([[2, [parseInstruction('COPY --from=src /a /a', { file: 'Dockerfile' })]]])
    expect(reachableStages(stages, 2)).toEqual([2])
    expect(reachableStages(stages, 2, triggers)).toEqual([0, 2])
  })
  test('of a stage in the same file: it runs in the next, not in the one after', () => {
    const { stages } = resolve('FROM x AS src\nFROM y AS a\nONBUILD COPY --from=src /a /a\nFROM a AS b\nFROM b AS c')
    expect(reachableStages(stages, 1)).toEqual([1])
    expect(reachableStages(stages, 2)).toEqual([0, 1, 2])
    expect(stageInstructions(stages, 3)).toEqual([])
  })
})

describe('trap 15: ARG', () => {
  test('without default imports the global one', () => {
    expect(runEnvironment('ARG a=global\nFROM x\nARG a')).toEqual(['a=global'])
  })
  test('with default does not', () => {
    expect(runEnvironment('ARG a=global\nFROM x\nARG a=own')).toEqual(['a=own'])
  })
  test('that is not declared in the stage is not there', () => {
    expect(runEnvironment('ARG a=global\nFROM x', { a: 'given' })).toEqual([])
  })
  test('is overridden by a build argument, also by an empty one', () => {
    expect(runEnvironment('ARG a=global\nFROM x\nARG a=own', { a: '' })).toEqual(['a='])
  })
})

describe('trap 16: a stage and an image of one name', () => {
  test('FROM debian AS debian is the image; FROM debian after it the stage', () => {
    expect(resolve('FROM debian AS debian\nFROM debian').stages.map(({ base }) => base)).toEqual([
      { kind: 'image', name: 'debian' },
      { kind: 'stage', index: 0 },
    ])
  })
  test('FROM 0 is an image, whatever stages there are', () => {
    expect(resolve('FROM x\nFROM 0').stages[1]?.base).toEqual({ kind: 'image', name: '0' })
  })
  test('of two stages of one name the later counts', () => {
    expect(resolve('FROM x AS a\nFROM y AS a\nFROM a').stages[2]?.base).toEqual({ kind: 'stage', index: 1 })
  })
})

test('trap 20: an image without PATH gets one', () => {
  const { globals, buildArgs } = resolve('FROM scratch')
  expect(createScope({ globals, buildArgs, env: [], escape: '\\' }).env()).toEqual([`PATH=${defaultPath}`])
})
