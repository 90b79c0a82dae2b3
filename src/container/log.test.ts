import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background } from '#context.ts'
import { self } from '#store/owner.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import { waitContainer } from './control.ts'
import { readLog, type LogOptions } from './log.ts'
import { readStatus } from './status.ts'

let root: string
// Of the store, a log needs its directory; of the container, its id.
const store = () => ({ root }) as LocalStore
const container = { id: 'c'.repeat(64) } as ContainerRecord
const directory = () => join(root, 'containers', container.id)

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stave-log-'))
  mkdirSync(directory(), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true }))

const line = (second: number, log = `line ${second}\n`, stream = 'stdout') =>
  `${JSON.stringify({ log, stream, time: new Date(second * 1000).toISOString() })}\n`
const write = (text: string) => appendFileSync(join(directory(), 'log'), text)
const setState = (state: object) => {
  writeFileSync(join(directory(), 'state.tmp'), JSON.stringify(state))
  renameSync(join(directory(), 'state.tmp'), join(directory(), 'state.json'))
}
async function read(options: LogOptions = {}): Promise<string[]> {
  const texts: string[] = []
  for await (const entry of readLog(background, store(), container, options)) texts.push(entry.text)
  return texts
}

test('entries in order, with stream and time', async () => {
  write(line(1) + line(2, 'oops\n', 'stderr'))
  const entries = []
  for await (const entry of readLog(background, store(), container)) entries.push(entry)
  expect(entries).toEqual([
    { text: 'line 1\n', stream: 'stdout', time: '1970-01-01T00:00:01.000Z' },
    { text: 'oops\n', stream: 'stderr', time: '1970-01-01T00:00:02.000Z' },
  ])
})

test('a container without a log has written nothing', async () => {
  expect(await read()).toEqual([])
  expect(await read({ follow: true })).toEqual([])
})

test('tail, since and until', async () => {
  write(Array.from({ length: 5000 }, (_, second) => line(second)).join(''))
  expect(await read({ tail: 2 })).toEqual(['line 4998\n', 'line 4999\n'])
  expect(await read({ tail: 0 })).toEqual([])
  expect(await read({ tail: 100_000 })).toHaveLength(5000)
  expect(await read({ tail: 4000 })).toHaveLength(4000)
  expect(await read({ since: new Date(4_997_000) })).toEqual(['line 4997\n', 'line 4998\n', 'line 4999\n'])
  expect(await read({ until: new Date(1000) })).toEqual(['line 0\n', 'line 1\n'])
})

test('what a killed monitor did not finish is left out', async () => {
  write(`${line(1)}not json\n${line(2)}${line(3).slice(0, 20)}`)
  expect(await read()).toEqual(['line 1\n', 'line 2\n'])
})

test('tail counts lines, of which a long one has several entries', async () => {
  const piece = 'x'.repeat(16_384)
  write(line(1) + line(2, piece) + line(2, piece) + line(2, 'end\n') + line(3, String.raw`C:\n`) + line(3, '\n') + line(4))
  expect(await read({ tail: 2 })).toEqual([String.raw`C:\n`, '\n', 'line 4\n'])
  expect(await read({ tail: 3 })).toEqual([piece, piece, 'end\n', String.raw`C:\n`, '\n', 'line 4\n'])
  expect(await read({ tail: 4 })).toHaveLength(7)
})

test('long entries and text that is cut inside a character come whole', async () => {
  const long = `${'ä€😀'.repeat(30_000)}\n`
  write(line(1, long) + line(2))
  expect(await read()).toEqual([long, 'line 2\n'])
})

test('following ends when the container does, with all that it wrote', async () => {
  const { pid, start } = self()
  setState({ status: 'running', pid, pidStart: start })
  const texts: string[] = []
  const reading = (async () => {
    for await (const entry of readLog(background, store(), container, { follow: true })) texts.push(entry.text)
  })()
  const until = async (count: number) => {
    while (texts.length < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await new Promise((resolve) => setTimeout(resolve, 20))
  write(line(1))
  await until(1)
  write(line(2).slice(0, 10))
  await new Promise((resolve) => setTimeout(resolve, 20))
  write(line(2).slice(10))
  await until(2)
  write(line(3))
  setState({ status: 'exited', exitCode: 0 })
  await reading
  expect(texts).toEqual(['line 1\n', 'line 2\n', 'line 3\n'])
})

test('waiting for one that is removed before its exit status was read is an error, and not 0', async () => {
  const { pid, start } = self()
  setState({ status: 'running', pid, pidStart: start })
  const waiting = waitContainer(background, store(), { ...container, name: 'gone' })
  rmSync(directory(), { recursive: true })
  await expect(waiting).rejects.toThrow(/cannot tell how the container gone ended/)
})

test('a state that says running is not believed when nobody is there', () => {
  expect(readStatus(store(), container)).toEqual({ state: 'created' })
  setState({ status: 'running', pid: 999_999_999, pidStart: 1, monitorPid: 999_999_998, monitorStart: 1, startedAt: 'then' })
  expect(readStatus(store(), container)).toEqual({
    state: 'exited',
    exitCode: 137,
    startedAt: 'then',
    finishedAt: expect.stringMatching(/^2.*Z$/),
    error: 'what watched it was killed',
  })
  // It is written down: the end is not told anew each time.
  expect(readStatus(store(), container)).toEqual(readStatus(store(), container))
  // The same ids, but other processes: started at another time.
  const { pid, start } = self()
  setState({ status: 'running', pid, pidStart: start + 1 })
  expect(readStatus(store(), container).state).toBe('exited')
  setState({ status: 'running', pid, pidStart: start })
  expect(readStatus(store(), container)).toEqual({ state: 'running', pid })
  setState({ status: 'exited', exitCode: 3, finishedAt: 'now', oomKilled: true })
  expect(readStatus(store(), container)).toEqual({ state: 'exited', exitCode: 3, finishedAt: 'now', oomKilled: true })
})
