import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx, withSignal } from '#context.ts'
import type { StaveError } from '#error.ts'
import { RunnerFailure } from './failure.ts'
import { locateRunner } from './locate.ts'
import { createRunner } from './runner.ts'

let root: string
let directory: number
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'stave-runner-'))
  directory = openSync(root, 'r')
})
afterAll(() => {
  closeSync(directory)
  rmSync(root, { recursive: true, force: true })
})

const make = (binary: string) => createRunner({ binary, uid: 0, root })
const readJob = (path = 'file') => ({ from: { kind: 'directory', root: { fd: directory } } as const, paths: [path], maxBytes: 1000 })
async function failure(promise: Promise<unknown>): Promise<StaveError> {
  try {
    await promise
  } catch (error) {
    return error as StaveError
  }
  throw new Error('did not fail')
}

describe('programs that are not the runner', () => {
  test('one that is not there', async () => {
    expect(await failure(make('/nonexistent/stave-runner').read(cx, readJob()))).toMatchObject({
      code: 'runner',
      message: 'cannot start /nonexistent/stave-runner',
    })
  })
  test('one that ends without a word', async () => {
    const error = await failure(make('/bin/true').read(cx, readJob()))
    expect(error).toMatchObject({ code: 'runner', message: 'stave-runner read ended with status 0 and without an answer' })
  })
  test('one whose last words are kept', async () => {
    const error = await failure(make('/bin/cat').read(cx, readJob()))
    expect(error).toMatchObject({ code: 'runner' })
    expect((error.cause as Error).message).toContain('No such file')
  })
  const script = (body: string) => {
    const path = join(root, `program-${Math.random().toString(36).slice(2)}`)
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
    return path
  }
  test.each([
    ['another language', 'echo hello >&4', 'it wrote "hello"'],
    ['no greeting', `echo '{"event":"result"}' >&4`, 'it began with "result"'],
    ['another version', `echo '{"event":"hello","version":99}' >&4`, 'it speaks version 99'],
    [
      'two ends',
      `printf '%s\\n' '{"event":"hello","version":1}' '{"event":"result"}' '{"event":"result"}' >&4`,
      'it went on after its last event',
    ],
    ['an unfinished end', `printf '%s\\n%s' '{"event":"hello","version":1}' '{"event":"resu' >&4`, 'without an answer'],
    ['a crash', 'echo "thread panicked" >&2; kill -SEGV $$', 'signal SIGSEGV'],
  ])('one that speaks %s', async (_, body, message) => {
    expect((await failure(make(script(body)).read(cx, readJob()))).message).toContain(message)
  })
  test('one that does not end when it is cancelled is killed', async () => {
    const abort = new AbortController()
    const { startRunner } = await import('./process.ts')
    const job = startRunner<'read'>({
      binary: script(`echo '{"event":"hello","version":1}' >&4; trap '' TERM; exec sleep 100`),
      request: { verb: 'read', ...readJob() },
      signal: abort.signal,
      env: {},
      graceMs: 50,
    })
    setTimeout(() => abort.abort(), 20)
    const started = performance.now()
    expect(await failure(job.result)).toMatchObject({ code: 'cancelled' })
    expect(performance.now() - started).toBeLessThan(5000)
  })
})

describe('the runner', () => {
  const runner = () => make(locateRunner())
  test('answers', async () => {
    writeFileSync(join(root, 'file'), 'content')
    const { files } = await runner().read(cx, readJob())
    expect(files.map(({ path, base64 }) => [path.replace(/^\//, ''), Buffer.from(base64, 'base64').toString()])).toEqual([
      ['file', 'content'],
    ])
  })
  test('probes this machine', async () => {
    const probe = await runner().probe(cx)
    expect(probe.isolation).toMatch(/^(root|subid|single|chroot|none)$/)
    expect(probe.kernel).toMatch(/^\d+\.\d+/)
  })
  test('names what failed, in a code, with the call as the cause', async () => {
    const job = {
      upper: { fd: directory, path: 'nothing/fs' },
      lowers: [],
      layer: { blob: { fd: directory, path: 'blob' }, compression: 'gzip' as const },
    }
    const error = await failure(runner().diff(cx, job))
    expect(error.code).toMatch(/^(not-found|io)$/)
    expect(error.cause).toBeInstanceOf(RunnerFailure)
    expect((error.cause as RunnerFailure).failure.errno).toBe('ENOENT')
  })
  test('is not started for what is cancelled already', async () => {
    const error = await failure(runner().read(withSignal(cx, AbortSignal.abort()), readJob()))
    expect(error.code).toBe('cancelled')
  })
  test('is cheap to start', async () => {
    const job = readJob()
    await runner().read(cx, job)
    const times: number[] = []
    for (let round = 0; round < 20; round++) {
      const started = performance.now()
      await runner().read(cx, job)
      times.push(performance.now() - started)
    }
    times.sort((one, other) => one - other)
    // About 4 ms on an idle machine; this only catches what is wrong by an order of magnitude.
    expect(times[10]).toBeLessThan(60)
  })
})
