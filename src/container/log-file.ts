import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { StaveError } from '#error.ts'
import type { LogOptions } from '#runner/protocol.ts'
import { layout, pathOf } from '#store/layout.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './record.ts'

/** How the runner keeps a container's log. */
export interface OpenLogFile extends Disposable {
  readonly options?: LogOptions
}

/** Where a container's log is. */
export function logPath(store: Pick<LocalStore, 'root'>, { id, logSettings }: Pick<ContainerRecord, 'id' | 'logSettings'>): string {
  return logSettings?.path ?? pathOf(store, layout.containerLog(id))
}

/** Opens the directory that the log goes to, if that is not the container's own. @throws StaveError `container-start` */
export function openLogFile({ name, log, logSettings }: ContainerRecord): OpenLogFile {
  if (log === false || logSettings === undefined) return { [Symbol.dispose]() {} }
  const { path, tag: _, ...options } = logSettings
  if (path === undefined) return { options, [Symbol.dispose]() {} }
  const fd = openDirectory(name, path)
  return { options: { ...options, place: { directory: { fd }, name: basename(path) } }, [Symbol.dispose]: () => closeSync(fd) }
}

function openDirectory(name: string, path: string): number {
  try {
    return openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw new StaveError('container-start', `cannot start the container ${name}: its log cannot be kept in ${path}`, {
      cause,
      exitCode: 125,
      hint: 'The directory of --log-opt path=FILE must be there.',
    })
  }
}
