import { expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { formatError } from './error-text.ts'

const options = { color: false, debug: false, cwd: '/' }

test('what failed, why, and what to do', () => {
  const cause = new Error('POST https://ghcr.io/v2/ → 403', { cause: new Error('token expired') })
  const error = new StaveError('denied', 'cannot push ghcr.io/acme/web:1.2: denied', { cause, hint: 'Log in with stave login ghcr.io.' })
  expect(formatError(error, options)).toMatchInlineSnapshot(`
    "error: cannot push ghcr.io/acme/web:1.2: denied
      cause: POST https://ghcr.io/v2/ → 403
      cause: token expired
      hint:  Log in with stave login ghcr.io."
  `)
})

test('a line with a marker under the span', () => {
  const span = { file: 'Dockerfile', line: 2, column: 1, endLine: 2, endColumn: 4 }
  const error = new StaveError('dockerfile', 'unknown instruction RNU', { span, text: 'FROM a\nRNU make\n', hint: 'Did you mean RUN?' })
  expect(formatError(error, options)).toMatchInlineSnapshot(`
    "error: unknown instruction RNU
      --> Dockerfile:2:1
        |
      2 | RNU make
        | ^^^
      hint:  Did you mean RUN?"
  `)
})

test('a fault of the program shows no stack', () => {
  expect(formatError(new TypeError('x is not a function'), options)).not.toMatch(/\n\s+at /)
  expect(formatError(new TypeError('x is not a function'), { ...options, debug: true })).toMatch(/\n\s+at /)
})

test('control characters from outside do not reach the terminal', () => {
  expect(formatError(new StaveError('io', 'bad \u001B[2J name'), options)).toContain(String.raw`bad \x1b[2J name`)
})
