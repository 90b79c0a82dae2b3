import { StaveError, hasCode } from '#error.ts'
import { findContainer, listContainers, removeContainer, type Container } from '#container/container.ts'
import { isUp } from '#container/status.ts'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import { containerFilter } from './filter.ts'
import type { Report } from '../output/report.ts'

export interface Choice {
  /** Every one that `wanted` accepts, in place of named ones. */
  readonly all?: boolean | undefined
  /** A name that stands for none is passed over. */
  readonly ignore?: boolean | undefined
  readonly wanted?: (container: Container) => boolean
}

/** Has it processes, frozen ones too, or will have them again in a moment? */
export function isActive({ status }: Container): boolean {
  return isUp(status)
}

/**
 * Does the same to each container that the operands name, one after the other. A name that stands for none, or a
 * failure, is reported, and the rest goes on. @returns the exit status
 */
export async function forEachContainer(
  report: Report,
  store: LocalStore,
  names: readonly string[],
  choice: Choice,
  act: (container: Container) => Promise<void>,
): Promise<number> {
  if (!choice.all && names.length === 0) throw new StaveError('usage', 'no container is named', { hint: 'Name one, or use --all.' })
  const wanted = choice.wanted ?? (() => true)
  const chosen = choice.all
    ? listContainers(store)
        .filter(wanted)
        .map((container) => ({ shown: container.id.slice(0, 12), find: () => container }))
    : names.map((name) => ({ shown: name, find: () => findContainer(store, name) }))
  let status = 0
  for (const { shown, find } of chosen) {
    try {
      await act(find())
      report.print(shown)
    } catch (error) {
      if (choice.ignore && hasCode(error, 'not-found')) continue
      report.error(error)
      status = 1
    }
  }
  return status
}

/** Removes those that do not run and that every filter accepts. @returns what was removed */
export async function pruneContainers(cx: Context, store: LocalStore, filters: readonly string[]): Promise<readonly Container[]> {
  const all = listContainers(store)
  const accepts = containerFilter(filters, all, store)
  const removed: Container[] = []
  for (const container of all) {
    if (isActive(container) || !accepts(container)) continue
    await removeContainer(cx, store, container)
    removed.push(container)
  }
  return removed
}
