import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { command } from './command.ts'
import { checkOperands, parseFlags } from './parse.ts'

const run = command({
  name: 'run',
  group: 'Containers',
  summary: 'x',
  operands: 'IMAGE [COMMAND...]',
  least: 1,
  passthrough: true,
  examples: [],
  flags: {
    interactive: { kind: 'boolean', short: 'i', doc: '' },
    tty: { kind: 'boolean', short: 't', doc: '' },
    env: { kind: 'list', short: 'e', doc: '' },
    memory: { kind: 'string', short: 'm', aliases: ['mem'], doc: '' },
    cpus: { kind: 'number', doc: '' },
    pull: { kind: 'string', bare: 'always', choices: ['always', 'never'], doc: '' },
    layers: { kind: 'boolean', hidden: true, doc: '' },
  },
})

const parse = (...words: string[]) => parseFlags(run, {}, words)

describe('flags', () => {
  test.each([
    ['a cluster', ['-it', 'x'], { interactive: true, tty: true }],
    ['a cluster that ends in a value', ['-itm', '5m', 'x'], { interactive: true, tty: true, memory: '5m' }],
    ['an attached short value', ['-m5m', 'x'], { memory: '5m' }],
    ['a short value after =', ['-m=5m', 'x'], { memory: '5m' }],
    ['a long value', ['--memory', '5m', 'x'], { memory: '5m' }],
    ['a long value after =', ['--memory=5m', 'x'], { memory: '5m' }],
    ['an alias', ['--mem=5m', 'x'], { memory: '5m' }],
    ['an empty value', ['--memory=', 'x'], { memory: '' }],
    ['a value with =', ['-e', 'A=b=c', 'x'], { env: ['A=b=c'] }],
    ['repeats', ['-e', 'A=1', '--env=B=2', 'x'], { env: ['A=1', 'B=2'] }],
    ['a number', ['--cpus', '1.5', 'x'], { cpus: 1.5 }],
    ['a boolean with a value', ['--tty=false', 'x'], { tty: false }],
    ['a negated boolean', ['--no-tty', 'x'], { tty: false }],
    ['a bare optional value', ['--pull', 'x'], { pull: 'always' }],
    ['a given optional value', ['--pull=never', 'x'], { pull: 'never' }],
  ])('%s', (_, words, values) => {
    const parsed = parse(...words)
    expect(parsed.values).toMatchObject(values)
    expect(parsed.operands).toEqual(['x'])
  })

  test('what follows the first operand is the container’s', () => {
    expect(parse('-i', 'debian', 'ls', '-la', '--', '--help')).toMatchObject({
      operands: ['debian', 'ls', '-la', '--', '--help'],
      help: false,
    })
  })

  test('-- ends flags', () => {
    expect(parse('--', '-i', 'x').operands).toEqual(['-i', 'x'])
  })

  test.each([
    ['an unknown flag, with the nearest one', ['--memry', '1', 'x'], /unknown flag --memry/, /--memory/],
    ['an unknown letter', ['-iz', 'x'], /unknown flag -z/, undefined],
    ['a missing value', ['--memory'], /--memory needs a value/, undefined],
    ['a value that is no number', ['--cpus', 'many', 'x'], /--cpus takes a number/, undefined],
    ['an empty number', ['--cpus=', 'x'], /--cpus takes a number/, undefined],
    ['a value that is no choice', ['--pull=maybe', 'x'], /always or never/, undefined],
    ['a boolean that is neither', ['--tty=perhaps', 'x'], /true or false/, undefined],
  ])('refuses %s', (_, words, message, hint) => {
    const error = catching(() => parse(...words))
    expect(error.code).toBe('usage')
    expect(error.exitCode).toBe(2)
    expect(error.message).toMatch(message)
    if (hint) expect(error.hint).toMatch(hint)
  })

  test('a hidden flag is understood but not proposed', () => {
    expect(parse('--layers', 'x').values['layers']).toBe(true)
    expect(catching(() => parse('--layrs', 'x')).hint).not.toMatch(/layers/)
  })
})

test.each([
  [[], /an operand is missing/],
  [['a', 'b'], /"b" is one operand too many/],
])('operands %j are refused', (operands, message) => {
  expect(catching(() => checkOperands({ ...run, most: 1 }, operands)).message).toMatch(message)
})

function catching(work: () => unknown): StaveError {
  try {
    work()
  } catch (error) {
    if (error instanceof StaveError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
