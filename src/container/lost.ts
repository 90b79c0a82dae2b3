import { layout, pathOf } from '#store/layout.ts'
import { rmdirSync } from 'node:fs'
import type { ContainerState } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import { replaceFile } from './file.ts'

/** The exit status of a container of which nobody saw the end: as if it had been killed. */
export const unknownExit = 137

/**
 * Does for a container what the process that watched it did not come to, since it was killed: removes its control
 * groups, and writes down that it has ended. When that was, nobody knows; it is told from the moment at which it shows.
 */
export function recordLost(store: Pick<LocalStore, 'root'>, id: string, state: ContainerState): ContainerState {
  const left = removeGroups(state.cgroup)
  const { cgroup: _cgroup, ...rest } = state
  const ended: ContainerState = {
    ...rest,
    status: 'exited',
    exitCode: unknownExit,
    finishedAt: new Date().toISOString(),
    error: state.error ?? 'what watched it was killed',
    ...(left !== '' && { cgroup: left }),
  }
  const path = pathOf(store, layout.containerState(id))
  try {
    replaceFile(path, JSON.stringify(ended))
  } catch {
    // A store that cannot be written, or a container that is being removed: what is known is told all the same.
  }
  return ended
}

/**
 * Removes control groups in which nothing lives any more.
 *
 * @param text As in the state of a container: `controller=directory`, separated by colons.
 * @returns those that are still there, in the same form
 */
export function removeGroups(text = ''): string {
  return text
    .split(':')
    .filter((entry) => {
      const directory = entry.slice(entry.indexOf('=') + 1)
      // Ours are named after their container, and lie where control groups do.
      if (!/\/stave-[^/]+$/.test(directory)) return false
      try {
        rmdirSync(directory)
        return false
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'EBUSY'
      }
    })
    .join(':')
}
