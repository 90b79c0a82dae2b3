import { createWriteStream, openSync, writeFileSync } from 'node:fs'
import { StaveError } from '#error.ts'

/** Writes what a flag such as `--iidfile` asks for. @throws StaveError `io`, `permission` */
export function writeResult(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw refused(path, error)
  }
}

/** A file for lines that come one by one; opened at once, so that a wrong name is known before the work. */
export function resultFile(path: string): NodeJS.WritableStream {
  try {
    return createWriteStream(path, { fd: openSync(path, 'w') })
  } catch (error) {
    throw refused(path, error)
  }
}

function refused(path: string, cause: unknown): StaveError {
  const { code } = cause as NodeJS.ErrnoException
  return new StaveError(code === 'EACCES' || code === 'EPERM' ? 'permission' : 'io', `cannot write ${path}`, { cause })
}
