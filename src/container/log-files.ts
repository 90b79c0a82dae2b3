import { statSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { parseEntry } from './log-entry.ts'

/** The files of one log: the one that is written to, and those that were put aside as `NAME.1` and so on. */
export interface LogFiles {
  readonly path: string
  /** So many at most. */
  readonly count: number
}

/** The file that comes after the one with this inode number; the oldest, if it is gone or none is given. */
export async function nextFile({ path, count }: LogFiles, after?: number): Promise<FileHandle | undefined> {
  for (let tries = 0; tries < 3; tries++) {
    const names = namesOf({ path, count }).filter((name) => inodeOf(name) !== undefined)
    const at = names.findIndex((name) => inodeOf(name) === after)
    const name = names[at + 1]
    if (name === undefined) return undefined
    try {
      return await open(name, 'r')
    } catch (error) {
      // Put aside meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return undefined
}

/** Oldest first. */
function namesOf({ path, count }: LogFiles): string[] {
  const aside = Array.from({ length: Math.max(0, count - 1) }, (_, index) => `${path}.${index + 1}`)
  return [...aside.toReversed(), path]
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}

/** Where the last lines begin: in which file, and at which of its bytes. */
export interface TailPlace {
  readonly file: FileHandle
  readonly position: number
}

/** Finds the last `count` lines: read backwards, so that a log of gigabytes costs what its end costs. */
export async function findTail(files: LogFiles, count: number): Promise<TailPlace | undefined> {
  let left = count
  let found: TailPlace | undefined
  for (const name of namesOf(files).toReversed()) {
    const file = await open(name, 'r').catch(() => undefined)
    if (file === undefined) break
    await found?.file.close()
    const { position, lines } = await tailOf(file, left)
    found = { file, position }
    left -= lines
    if (left <= 0) break
  }
  return found
}

const windowBytes = 64 * 1024

async function tailOf(file: FileHandle, count: number): Promise<{ position: number; lines: number }> {
  const { size } = await file.stat()
  if (count === 0) return { position: size, lines: 0 }
  for (let length = windowBytes; ; length *= 4) {
    const from = Math.max(0, size - length)
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size - from), 0, size - from, from)
    const starts = lineStarts(buffer.subarray(0, bytesRead), from === 0)
    if (from > 0 && starts.length < count) continue
    return { position: from + (starts.at(-count) ?? 0), lines: Math.min(count, starts.length) }
  }
}

/** Where lines begin among entries: after one whose text ends with a newline. Of a part, the first entry is not whole. */
function lineStarts(bytes: Buffer, isWhole: boolean): number[] {
  const starts: number[] = []
  let begins = isWhole
  let at = isWhole ? 0 : bytes.indexOf(10) + 1
  let isFirst = !isWhole
  for (let end = bytes.indexOf(10, at); at > 0 || isWhole; end = bytes.indexOf(10, at)) {
    if (at >= bytes.length) break
    if (begins) starts.push(at)
    // What is not finished yet is a line too.
    if (end < 0) break
    const entry = parseEntry(bytes.subarray(at, end))
    if (entry !== undefined || isFirst) begins = entry?.text.endsWith('\n') ?? false
    isFirst = false
    at = end + 1
  }
  return starts
}
