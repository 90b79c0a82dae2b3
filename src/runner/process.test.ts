import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { failureError, RunnerFailure } from './failure.ts'
import { locateRunner } from './locate.ts'
import { readLines } from './process.ts'
import type { FailureKind } from './protocol.ts'

async function linesOf(chunks: readonly (string | Buffer)[], maxBytes?: number): Promise<{ lines: string[]; tooLong: number }> {
  const lines: string[] = []
  let tooLong = 0
  const from = Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  )
  readLines(
    from,
    (line) => lines.push(line),
    () => tooLong++,
    maxBytes,
  )
  await new Promise((resolve) => from.once('end', resolve))
  return { lines, tooLong }
}

describe('lines of events', () => {
  test('come whole, however they are cut', async () => {
    const text = Buffer.from('{"a":"äöü"}\n\n{"b":2}\n')
    for (let size = 1; size <= text.length; size++) {
      const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.subarray(index * size, (index + 1) * size))
      expect((await linesOf(chunks)).lines, `in pieces of ${size}`).toEqual(['{"a":"äöü"}', '{"b":2}'])
    }
  })
  test('one without an end does not count', async () => {
    expect(await linesOf(['{"a":1}\n{"b"'])).toEqual({ lines: ['{"a":1}'], tooLong: 0 })
  })
  test('one that does not end is given up, once, and the rest is thrown away', async () => {
    expect(await linesOf(['ok\n', 'x'.repeat(60), 'x'.repeat(60), '\nmore\n'], 100)).toEqual({ lines: ['ok'], tooLong: 1 })
  })
})

describe('failures', () => {
  const make = (kind: FailureKind, more = {}) => failureError('run', { event: 'failure', kind, message: 'cannot do it', ...more })
  test('keep message, hint and the call that failed', () => {
    const error = make('permission', { operation: 'mount("overlay", "/x")', path: '/y', errno: 'EPERM', hint: 'Be root.' })
    expect(error).toMatchObject({ code: 'permission', message: 'cannot do it', hint: 'Be root.', exitCode: 125 })
    expect(error.cause).toBeInstanceOf(RunnerFailure)
    expect((error.cause as Error).message).toBe('mount("overlay", "/x") "/y": EPERM')
  })
  test.each([
    ['command-not-found', 'command-not-found', 127],
    ['command-not-executable', 'command-not-executable', 126],
    ['isolation', 'isolation', 125],
    ['corrupt', 'invalid-layer', 125],
    ['no-user', 'not-found', 125],
  ] as const)('%s of a run is %s with status %i', (kind, code, exitCode) => {
    expect(make(kind)).toMatchObject({ code, exitCode })
  })
  test('of a job that runs nothing have no status of their own', () => {
    expect(failureError('unpack', { event: 'failure', kind: 'escape', message: 'no' })).toMatchObject({ code: 'escape', exitCode: 1 })
  })
  test('a kind of a newer program is an error too', () => {
    expect(make('quantum' as FailureKind).code).toBe('runner')
  })
})

test('a path that was given must be an executable', () => {
  expect(() => locateRunner({ path: import.meta.filename })).toThrow(/is not an executable file/)
  expect(locateRunner({ path: process.execPath })).toBe(process.execPath)
})
