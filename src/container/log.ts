import { layout, pathOf } from '#store/layout.ts'
import { watch } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import { parseEntry, type LogEntry } from './log-entry.ts'
import { logPath } from './log-file.ts'
import { findTail, nextFile, type LogFiles } from './log-files.ts'
import { readStatus } from './status.ts'

export interface LogOptions {
  /** Only this many of the last lines. */
  readonly tail?: number
  readonly since?: Date
  readonly until?: Date
  /** Go on until the container ends. */
  readonly follow?: boolean
}

const chunkBytes = 64 * 1024

/** Reads what a container wrote. A container that was never started, or keeps no log, has written nothing. */
export async function* readLog(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: LogOptions = {},
): AsyncGenerator<LogEntry> {
  const files = { path: logPath(store, container), count: container.logSettings?.maxFiles ?? 1 }
  const since = options.since?.getTime() ?? -Infinity
  const until = options.until?.getTime() ?? Infinity
  for await (const entry of readEntries(cx, store, container, files, options)) {
    const time = Date.parse(entry.time)
    if (time > until) return
    if (time >= since) yield entry
  }
}

async function* readEntries(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  files: LogFiles,
  { tail, follow = false }: LogOptions,
): AsyncGenerator<LogEntry> {
  const place = tail === undefined ? undefined : await findTail(files, tail)
  let file = place?.file ?? (await openFirst(cx, store, container, files, follow))
  let position = place?.position ?? 0
  let partial: Buffer[] = []
  try {
    while (file !== undefined) {
      // Asked before the reading: what is written before the end is still read after it.
      const ended = !follow || !isRunning(store, container)
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position)
        if (bytesRead === 0) break
        position += bytesRead
        let rest = buffer.subarray(0, bytesRead)
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          const entry = parseEntry(Buffer.concat([...partial, rest.subarray(0, end)]))
          partial = []
          rest = rest.subarray(end + 1)
          if (entry !== undefined) yield entry
        }
        if (rest.length > 0) partial.push(rest)
      }
      const next = await fileAfter(files, file, position)
      if (next !== undefined) {
        await file.close()
        ;[file, position, partial] = [next, 0, []]
      } else if (ended) return
      else await changed(cx, files.path)
    }
  } finally {
    await file?.close()
  }
}

/** The next file, once all of this one has been read: it is written to until it is put aside. */
async function fileAfter(files: LogFiles, file: FileHandle, position: number): Promise<FileHandle | undefined> {
  const { ino } = await file.stat()
  const next = await nextFile(files, ino)
  if (next === undefined) return undefined
  const [{ size }, other] = [await file.stat(), await next.stat()]
  if (size <= position && other.ino !== ino) return next
  await next.close()
  return undefined
}

async function openFirst(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  files: LogFiles,
  follow: boolean,
): Promise<FileHandle | undefined> {
  for (;;) {
    const file = await nextFile(files)
    if (file !== undefined || !follow || !isRunning(store, container)) return file
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
