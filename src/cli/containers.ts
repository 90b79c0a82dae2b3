import { StaveError, hasCode } from '#error.ts'
import { findContainer, listContainers, type Container } from '#container/container.ts'
import type { LocalStore } from '#store/open.ts'
import type { Report } from './report.ts'

/** The containers that operands name, or with `all` every one that `wanted` chooses. */
export function chooseContainers(
  store: LocalStore,
  names: readonly string[],
  options: {
    readonly all?: boolean | undefined
    readonly ignore?: boolean | undefined
    readonly wanted?: (container: Container) => boolean
  },
): readonly Container[] {
  if (options.all) return listContainers(store).filter(options.wanted ?? (() => true))
  if (names.length === 0) throw new StaveError('usage', 'no container is named', { hint: 'Name one, or use --all.' })
  return names.flatMap((name) => {
    try {
      return [findContainer(store, name)]
    } catch (error) {
      if (options.ignore && hasCode(error, 'not-found')) return []
      throw error
    }
  })
}

/** Does the same to each, one after the other; a failure is reported and the rest goes on. @returns the exit status */
export async function forEachContainer(
  report: Report,
  containers: readonly Container[],
  names: readonly string[],
  act: (container: Container) => Promise<void>,
): Promise<number> {
  let status = 0
  for (const [index, container] of containers.entries()) {
    try {
      await act(container)
      report.print(names[index] ?? container.id.slice(0, 12))
    } catch (error) {
      report.error(error)
      status = 1
    }
  }
  return status
}
