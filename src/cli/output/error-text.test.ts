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

test.each([
  ["ENOENT: no such file or directory, stat '/x'", '/x: no such file or directory'],
  ["EACCES: permission denied, rename '/a' -> '/b'", '/b: permission denied'],
  ["cannot read /x: EACCES: permission denied, open '/x'", 'cannot read /x: permission denied'],
  ['cannot write x: ENOSPC: no space left on device, write', 'cannot write x: no space left on device'],
  ['GET http://h/: connect ECONNREFUSED 127.0.0.1:1', 'GET http://h/: nothing listens there (127.0.0.1:1)'],
  ['GET http://h/: getaddrinfo ENOTFOUND h.example', 'GET http://h/: the name h.example is unknown'],
  ['GET http://h/: getaddrinfo EAI_AGAIN h.example', 'GET http://h/: the name h.example is unknown'],
])('what the system says is shown in words: %s', (raw, said) => {
  expect(formatError(new StaveError('io', raw), options)).toBe(`error: ${said}`)
  expect(formatError(new StaveError('io', 'failed', { cause: new Error(raw) }), options)).toBe(`error: failed\n  cause: ${said}`)
  // Who looks for a fault sees it as it was.
  expect(formatError(new StaveError('io', raw), { ...options, debug: true })).toContain(raw)
})

test('a fault of the program shows no stack', () => {
  expect(formatError(new TypeError('x is not a function'), options)).not.toMatch(/\n\s+at /)
  expect(formatError(new TypeError('x is not a function'), { ...options, debug: true })).toMatch(/\n\s+at /)
})

test('control characters from outside do not reach the terminal', () => {
  expect(formatError(new StaveError('io', 'bad \u001B[2J name'), options)).toContain(String.raw`bad \x1b[2J name`)
})
