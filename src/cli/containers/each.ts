import { StaveError, hasCode } from '#error.ts'
import { readSmallFileSync } from '#image/file.ts'
import * as limit from '#limit.ts'
import { findContainer, listContainers, removeContainer, type Container } from '#container/container.ts'
import { isUp } from '#container/status.ts'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import { containerFilter } from './filter.ts'
import type { Values } from '../command.ts'
import type { choiceFlags } from './choice-flags.ts'
import type { Report } from '../output/report.ts'

export interface Choice extends Partial<Values<typeof choiceFlags>> {
  /** Of those that are not named, which. Default: all. */
  readonly wanted?: (container: Container) => boolean
}

/** Has it processes, frozen ones too, or will have them again in a moment? */
export function isActive({ status }: Container): boolean {
  return isUp(status)
}

interface Chosen {
  readonly shown: string
  find(): Container
}

/**
 * The containers that operands and flags stand for. Those that are named are looked up when it is their turn.
 *
 * @throws StaveError `usage` if it is none, or two ways to say it are mixed
 */
export function chooseContainers(store: LocalStore, names: readonly string[], choice: Choice): readonly Chosen[] {
  const { all = false, latest = false, filter = [], cidfile = [], wanted = () => true } = choice
  const picks = all || latest || filter.length > 0
  const named = [...names, ...cidfile.map((file) => idIn(file, choice.ignore ?? false))].filter((name) => name !== undefined)
  if (picks && named.length > 0)
    throw new StaveError('usage', 'containers are named, and chosen by --all, --latest or --filter as well', { hint: 'Do either.' })

  if ((all || filter.length > 0) && latest) throw new StaveError('usage', '--latest is one container: --all and --filter exclude it')
  if (!picks && names.length === 0 && cidfile.length === 0)
    throw new StaveError('usage', 'no container is named', { hint: 'Name one, or use --all.' })

  if (!picks) return named.map((name) => ({ shown: name, find: () => findContainer(store, name) }))
  const everything = listContainers(store)
  if (latest && everything.length === 0) throw new StaveError('not-found', 'there is no container, and so no latest one')
  const accepts = containerFilter(filter, everything, store)
  const found = latest ? everything.slice(0, 1) : everything.filter((container) => wanted(container) && accepts(container))
  return found.map((container) => ({ shown: container.id.slice(0, 12), find: () => container }))
}

/** @returns undefined for a file that is not there, if that is no error */
function idIn(file: string, ignore: boolean): string | undefined {
  try {
    return readSmallFileSync(file, limit.jsonBytes).toString().trim()
  } catch (cause) {
    if (ignore && (cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new StaveError('io', `cannot read the ID of a container from ${file}`, { cause, exitCode: 125 })
  }
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
  let status = 0
  for (const { shown, find } of chooseContainers(store, names, choice)) {
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
