import { layout, pathOf } from '#store/layout.ts'
import { watch } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import { readStatus } from './status.ts'

export interface LogOptions {
  /** Only this many of the last lines. */
  readonly tail?: number
  readonly since?: Date
  readonly until?: Date
  /** Go on until the container ends. */
  readonly follow?: boolean
}

export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339, with nanoseconds. */
  readonly time: string
  /** With its newline; a very long line comes in pieces, and only the last has one. */
  readonly text: string
}

const chunkBytes = 64 * 1024

/** Reads what a container wrote. A container that was never started, or keeps no log, has written nothing. */
export async function* readLog(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: LogOptions = {},
): AsyncGenerator<LogEntry> {
  const path = pathOf(store, layout.containerLog(container.id))
  const file = await openLog(cx, store, container, path, options.follow === true)
  if (file === undefined) return
  try {
    let position = options.tail === undefined ? 0 : await tailPosition(file, options.tail)
    let partial: Buffer[] = []
    const since = options.since?.getTime() ?? -Infinity
    const until = options.until?.getTime() ?? Infinity
    for (;;) {
      // Asked before the reading: what is written before the end is still read after it.
      const ended = options.follow !== true || !isRunning(store, container)
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position)
        if (bytesRead === 0) break
        position += bytesRead
        let rest = buffer.subarray(0, bytesRead)
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          const entry = parseEntry(Buffer.concat([...partial, rest.subarray(0, end)]))
          partial = []
          rest = rest.subarray(end + 1)
          if (entry === undefined) continue
          const time = Date.parse(entry.time)
          if (time > until) return
          if (time >= since) yield entry
        }
        if (rest.length > 0) partial.push(rest)
      }
      if (ended) return
      await changed(cx, path)
    }
  } finally {
    await file.close()
  }
}

async function openLog(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  path: string,
  follow: boolean,
): Promise<FileHandle | undefined> {
  for (;;) {
    try {
      return await open(path, 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    if (!follow || !isRunning(store, container)) return undefined
    await changed(cx, pathOf(store, layout.container(container.id)))
  }
}

function isRunning(store: LocalStore, container: ContainerRecord): boolean {
  const { state } = readStatus(store, container)
  return state === 'running' || state === 'paused'
}

/** Settles at the next change, or after a while: the end of a container changes another file. */
async function changed(cx: Context, path: string): Promise<void> {
  cx.signal.throwIfAborted()
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = () => resolve()
  const timer = setTimeout(done, 100)
  cx.signal.addEventListener('abort', done, { once: true })
  const watcher = watch(path, done)
  // A watch that cannot be had (inotify's limit, the file was removed) leaves the timer.
  watcher.on('error', done)
  try {
    await promise
  } finally {
    watcher.close()
    clearTimeout(timer)
    cx.signal.removeEventListener('abort', done)
  }
}

/** Of an entry whose text ends with a newline; the end of one that does not is not the end of a line. */
const lineEnd = /(?<!\\)(?:\\\\)*\\n","stream":"std(?:out|err)","time":"[^"]*"\}$/
const lineEndBytes = 128

/** Where the last `count` lines begin: read backwards, so that a log of gigabytes costs what its end costs. */
async function tailPosition(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat()
  if (count === 0) return size
  let end = size
  let lines = 0
  while (end > 0) {
    const start = Math.max(0, end - chunkBytes)
    // With the end of the entry before, which says whether what begins here is a line or the rest of one.
    const from = Math.max(0, start - lineEndBytes)
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(end - from), 0, end - from, from)
    for (let index = bytesRead - 1; index >= start - from; index--) {
      // The newline at the very end closes the last line and begins none.
      if (buffer[index] !== 10 || from + index === size - 1) continue
      if (!lineEnd.test(buffer.toString('latin1', Math.max(0, index - lineEndBytes), index))) continue
      lines++
      if (lines >= count) return from + index + 1
    }
    end = start
  }
  return 0
}

function parseEntry(line: Buffer): LogEntry | undefined {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    // A line that a killed monitor did not finish.
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { log, stream, time } = value as Record<string, unknown>
  if (typeof log !== 'string' || typeof time !== 'string') return undefined
  return { text: log, stream: stream === 'stderr' ? 'stderr' : 'stdout', time }
}
