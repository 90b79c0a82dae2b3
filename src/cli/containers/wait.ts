import { findContainer, type Container } from '#container/container.ts'
import { conditions, waitContainer, waitForCondition, type Condition } from '#container/control.ts'
import { hasCode, StaveError } from '#error.ts'
import { readDuration } from '#text/duration.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { waitFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof waitFlags>): Promise<void> {
  const wanted = flags.condition.flatMap((text) => text.split(',')).map(conditionOf)
  const intervalMs = intervalOf(flags.interval)
  await using session = await openSession(settings)
  const { store } = session
  const containers = args.map((name) => (flags.ignore ? findStill(store, name) : findContainer(store, name)))
  const codes = await Promise.all(
    containers.map(async (container) => {
      if (container === undefined) return -1
      if (wanted.length === 0 && intervalMs === undefined) return await waitContainer(cx, store, container)
      return await waitForCondition(cx, store, container, wanted.length === 0 ? ['stopped'] : wanted, intervalMs)
    }),
  )
  for (const code of codes) report.print(String(code))
}

function findStill(store: LocalStore, name: string): Container | undefined {
  try {
    return findContainer(store, name)
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined
    throw error
  }
}

/** podman's other words for what is one state here. */
const synonyms: Readonly<Record<string, Condition>> = {
  'not-running': 'stopped',
  'next-exit': 'stopped',
  removed: 'removing',
  configured: 'created',
  initialized: 'created',
  stopping: 'stopped',
}

function conditionOf(text: string): Condition {
  const condition = Object.hasOwn(synonyms, text) ? synonyms[text] : conditions.find((known) => known === text)
  if (condition !== undefined) return condition
  throw new StaveError('usage', `--condition ${text} is not understood`, { hint: `There are ${conditions.join(', ')}.` })
}

/** A duration, or a number of milliseconds (podman's rule). */
function intervalOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const milliseconds = /^\d+$/.test(text) ? Number(text) : (readDuration(text) ?? -1) / 1e6
  if (milliseconds >= 1) return milliseconds
  throw new StaveError('usage', `--interval takes a time such as 250ms, not ${JSON.stringify(text)}`)
}
