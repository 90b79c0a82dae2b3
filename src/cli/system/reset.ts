import { resetStore } from '#container/reset.ts'
import { StaveError } from '#error.ts'
import { isStoreAlone } from '#store/reset.ts'
import type { Invocation } from '../command.ts'
import { confirm } from '../output/ask.ts'
import { openSession } from '../session.ts'
import type { resetFlags } from './commands.ts'

/** Removes all that is in the store, and its directory. */
export async function run({ cx, flags, settings, report }: Invocation<typeof resetFlags>): Promise<void> {
  const { root } = settings
  if (!isStoreAlone(root)) return report.print(`There is no store at ${root}.`)
  const hint = 'stave system reset --force does not ask.'
  if (!flags.force) {
    if (!process.stdin.isTTY) throw new StaveError('usage', 'cannot ask whether to remove everything: there is no terminal', { hint })
    const question = `Remove all containers, images, volumes, networks and the build cache in ${root}?`
    if (!(await confirm(question))) throw new StaveError('cancelled', 'nothing was removed', { hint })
  }
  await using session = await openSession(settings)
  await resetStore(cx, session.store)
  report.print(`Removed ${root}`)
}
