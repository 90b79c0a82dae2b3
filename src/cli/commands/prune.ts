import { listContainers, removeContainer, type Container } from '#container/container.ts'
import { parseBytes } from '#container/unit.ts'
import { pruneVolumes } from '#container/volume.ts'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { prune } from '#store/prune.ts'
import type { Invocation, Values } from '../command.ts'
import { imageFilter, parseUntil } from '../image-filter.ts'
import { wantedPlatform } from '../images.ts'
import { listImages } from '../listing.ts'
import { formatBytes } from '../progress/renderer.ts'
import { openSession } from '../session.ts'
import type { pruneFlags } from '../table/system.ts'

/** All of the build cache that takes room: what images have as well takes none. */
const whatTakesRoom = 1

/** Removes what nothing uses: by default images without a name, and what no name, container or cache entry needs. */
export async function run({ cx, flags, settings, report }: Invocation<typeof pruneFlags>): Promise<void> {
  const kinds = new Set(flags.only.length > 0 ? flags.only : ['images'])
  if (flags.filter.length > 0 && !kinds.has('images') && !kinds.has('containers')) {
    throw new StaveError('usage', 'stave prune: --filter chooses images and containers, and neither is pruned here')
  }
  await using session = await openSession(settings)
  const { store } = session
  const containers = kinds.has('containers') ? await pruneContainers(cx, store, flags) : []
  const volumes = flags.volumes ? await pruneVolumes(cx, store, {}) : []
  const accepted = await acceptedNames()
  const freed = await prune(cx, store, {
    images: !kinds.has('images') ? 'none' : flags.all ? 'all' : 'dangling',
    ...(accepted && { accepts: (name) => accepted.has(name) }),
    ...cacheLimit(),
  })
  if (flags.json) return report.json({ ...freed, containers, volumes })
  for (const name of containers) report.print(`removed container ${name}`)
  for (const name of freed.images) report.print(`removed image ${name}`)
  for (const name of volumes) report.print(`removed volume ${name}`)
  report.print(`Total reclaimed space: ${formatBytes(freed.bytes)}`)

  function cacheLimit(): { cacheBytes?: number } {
    if (flags['keep-storage'] !== undefined) return { cacheBytes: parseBytes(flags['keep-storage'], '--keep-storage') }
    if (!kinds.has('cache')) return {}
    return { cacheBytes: flags.all ? 0 : whatTakesRoom }
  }

  async function acceptedNames(): Promise<ReadonlySet<string> | undefined> {
    if (flags.filter.length === 0) return undefined
    const rows = await listImages(cx, store, wantedPlatform(undefined, settings))
    return new Set(rows.filter(imageFilter(flags.filter, rows)).map(({ record }) => record.name))
  }
}

async function pruneContainers(cx: Context, store: LocalStore, flags: Values<typeof pruneFlags>): Promise<string[]> {
  const filters = flags.filter.map(containerFilter)
  const removed: string[] = []
  for (const container of listContainers(store)) {
    const { state } = container.status
    if ((state !== 'exited' && state !== 'created') || !filters.every((accepts) => accepts(container))) continue
    await removeContainer(cx, store, container)
    removed.push(container.name)
  }
  return removed
}

function containerFilter(text: string): (container: Container) => boolean {
  const [key = '', value = ''] = text.split(/=(.*)/s)
  if (key === 'until') {
    const limit = parseUntil(text, value)
    return ({ createdAt }) => Date.parse(createdAt) < limit
  }
  if (key === 'label' || key === 'label!') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    const has = ({ labels }: Container) => Object.hasOwn(labels ?? {}, label) && (wanted === undefined || labels?.[label] === wanted)
    return key === 'label' ? has : (container) => !has(container)
  }
  throw new StaveError('usage', `--filter ${text} is not understood for containers`, { hint: 'There are until=, label= and label!=.' })
}
