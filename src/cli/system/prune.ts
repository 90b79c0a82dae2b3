import { parseBytes } from '#text/size.ts'
import { pruneVolumes } from '#container/volume.ts'
import { StaveError } from '#error.ts'
import { prune } from '#store/prune.ts'
import type { Invocation } from '../command.ts'
import { pruneContainers } from '../containers/each.ts'
import { imageFilter } from '../images/filter.ts'
import { wantedPlatform } from '../images/fetch.ts'
import { listImages } from '../images/listing.ts'
import { confirm } from '../output/ask.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { openSession } from '../session.ts'
import type { pruneFlags } from './commands.ts'

/** All of the build cache that takes room: what images have as well takes none. */
const whatTakesRoom = 1

/** Removes what nothing uses: by default images without a name, and what no name, container or cache entry needs. */
export async function run({ cx, flags, settings, report }: Invocation<typeof pruneFlags>): Promise<void> {
  const kinds = new Set(flags.only.length > 0 ? flags.only : ['images'])
  if (flags.filter.length > 0 && !kinds.has('images') && !kinds.has('containers'))
    throw new StaveError('usage', 'stave prune: --filter chooses images and containers, and neither is pruned here')
  if (flags.all && kinds.has('images') && !flags.force && !(await isConfirmed()))
    throw new StaveError('cancelled', 'nothing was removed', { hint: 'stave prune --all --force does not ask.' })
  await using session = await openSession(settings)
  const { store } = session
  const containers = kinds.has('containers') ? await pruneContainers(cx, store, flags.filter) : []
  const volumes = flags.volumes ? await pruneVolumes(cx, store, {}) : []
  const accepted = await acceptedNames()
  const freed = await prune(cx, store, {
    images: !kinds.has('images') ? 'none' : flags.all ? 'all' : 'dangling',
    ...(accepted && { accepts: (name) => accepted.has(name) }),
    ...cacheLimit(),
  })
  if (flags.json) return report.json({ ...freed, containers: containers.map(({ name }) => name), volumes })
  for (const { name } of containers) report.print(`removed container ${name}`)
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

/** Asks, where somebody is there to answer: images without a container are more often wanted than images without a name. */
async function isConfirmed(): Promise<boolean> {
  return !process.stdin.isTTY || (await confirm('Remove all images that no container uses?'))
}
