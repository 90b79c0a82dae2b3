import { removeContainer } from '#container/container.ts'
import { stopContainer } from '#container/control.ts'
import { waves } from '#compose/order.ts'
import { hasCode } from '#error.ts'
import { normalizeName } from '#store/open.ts'
import { prune } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { downFlags } from './commands.ts'
import { chosenMembers, imageOf, membersOf, openNamed, type Member } from './project.ts'
import { removeResources } from './resources.ts'

/** Stops and removes what a project has: containers, networks, and volumes and images if asked. */
export async function run(invocation: Invocation<typeof downFlags>): Promise<void> {
  const { cx, flags, args, settings, report } = invocation
  await using session = await openSession(settings)
  const { store } = session
  const named = await openNamed(invocation)
  const { name, loaded } = named
  const say = (text: string): void => report.note(text)
  const isDefined = ({ service, isOneOff }: Member): boolean => isOneOff || loaded === undefined || Object.hasOwn(loaded.all, service)
  const members = chosenMembers(store, named, args, { oneOff: args.length === 0 })
  const wanted = members.filter((member) => isDefined(member) || flags['remove-orphans'] === true)
  const rank = new Map(
    (loaded === undefined ? [] : waves(loaded.project.services)).flatMap((wave, at) =>
      wave.map((service): [string, number] => [service, at]),
    ),
  )
  // What others need ends last.
  const order = wanted.toSorted((a, b) => (rank.get(b.service) ?? 0) - (rank.get(a.service) ?? 0))
  for (const level of groups(order, ({ service }) => rank.get(service) ?? 0)) {
    await Promise.all(
      level.map(async ({ container }) => {
        await stopContainer(cx, store, container, flags.timeout)
        await removeContainer(cx, store, container, { force: true, volumes: flags.volumes ?? false })
        say(`container ${container.name} removed`)
      }),
    )
  }
  if (args.length > 0) return
  const left = membersOf(store, name)
  if (left.length > 0) {
    report.event({
      type: 'warning',
      message: `containers of services that are not defined stay: ${left.map(({ container }) => container.name).join(', ')}`,
      hint: 'Remove them with --remove-orphans.',
    })
  }
  await removeResources(cx, store, name, { volumes: flags.volumes ?? false }, say)
  if (flags.rmi === undefined || loaded === undefined) return
  for (const [service, definition] of Object.entries(loaded.all)) {
    if (flags.rmi === 'local' && definition.image !== undefined) continue
    const image = imageOf(loaded.project, service, definition)
    try {
      await store.resolve(cx, image)
      store.names.delete(normalizeName(image))
      say(`image ${image} removed`)
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error
    }
  }
  await prune(cx, store, { images: 'none' })
}

function groups<T>(items: readonly T[], keyOf: (item: T) => number): readonly (readonly T[])[] {
  const found: T[][] = []
  let last: number | undefined
  for (const item of items) {
    if (keyOf(item) !== last) found.push([])
    found.at(-1)?.push(item)
    last = keyOf(item)
  }
  return found
}
