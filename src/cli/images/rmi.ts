import { StaveError, hasCode } from '#error.ts'
import { listContainers, removeContainer } from '#container/container.ts'
import type { Context } from '#context.ts'
import type { LocalStore } from '#store/open.ts'
import { normalizeName } from '#store/open.ts'
import { prune } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { rmiFlags } from './commands.ts'

/** Removes names, and with the last name of an image the content that nothing else needs. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof rmiFlags>): Promise<number> {
  await using session = await openSession(settings)
  const { store } = session
  const texts = flags.all ? store.names.list().map(({ name }) => name) : args
  if (texts.length === 0 && !flags.all && !flags.prune)
    throw new StaveError('usage', 'stave rmi: no image is named', { hint: 'Name one, or use --all.' })
  let status = 0
  for (const text of texts) {
    try {
      for (const line of await remove(cx, store, text, flags.force ?? false)) report.print(line)
    } catch (error) {
      if (flags.ignore && hasCode(error, 'not-found')) continue
      report.error(error)
      status = 1
    }
  }
  await prune(cx, store, { images: 'none' })
  return status
}

async function remove(cx: Context, store: LocalStore, text: string, force: boolean): Promise<string[]> {
  const root = await store.resolve(cx, text).catch((error: unknown) => {
    // The store's hint is to pull it.
    if (!hasCode(error, 'not-found')) throw error
    throw new StaveError('not-found', `cannot remove ${text}: there is no such image in the store`, { hint: 'stave images lists them.' })
  })
  const same = store.names.list().filter(({ descriptor }) => descriptor.digest === root.digest)
  const typed = asName(text)
  const isName = typed !== undefined && store.names.get(typed) !== undefined
  if (!isName && same.length > 1 && !force) {
    throw new StaveError('in-use', `cannot remove ${text}: it has ${same.length} names`, {
      hint: `Remove ${same.map(({ name }) => name).join(', ')}, or use --force.`,
    })
  }
  const names = isName ? [typed] : same.map(({ name }) => name)
  if (names.length === same.length) await releaseContainers(cx, store, text, root.digest, force)
  for (const name of names) store.names.delete(name)
  return [...names.map((name) => `Untagged: ${name}`), ...(names.length === same.length ? [`Deleted: ${root.digest}`] : [])]
}

/** An image that a container was made of is not removed under it. */
async function releaseContainers(cx: Context, store: LocalStore, text: string, digest: string, force: boolean): Promise<void> {
  const users = listContainers(store).filter(({ manifest }) => manifest.digest === digest)
  if (users.length === 0) return
  if (!force) {
    throw new StaveError('in-use', `cannot remove ${text}: the container ${users[0]!.name} was made of it`, {
      hint: 'Remove the container first, or use --force.',
    })
  }
  for (const container of users) await removeContainer(cx, store, container, { force: true })
}

function asName(text: string): string | undefined {
  try {
    return normalizeName(text)
  } catch {
    return undefined
  }
}
