import { discover, type Referrers } from '#artifact/artifact.ts'
import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { artifactDiscoverFlags } from './commands.ts'

const usualDepth = 8

/** Prints what refers to an image or artifact, as a tree by kind. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof artifactDiscoverFlags>): Promise<void> {
  const depth = flags.depth ?? usualDepth
  if (!Number.isInteger(depth) || depth < 1) throw new StaveError('usage', `--depth takes a number from 1 on, not ${depth}`)
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const named = await resolveOrLeave(cx, source, name)
  const root = flags.platform === undefined ? named : (await openImage(cx, source, named, parsePlatform(flags.platform))).descriptor
  const found = await discover(cx, source, root, { artifactType: flags['artifact-type'], depth })
  if (flags.json) return report.json(asJson(found))
  report.print(`${source.title}@${root.digest}`)
  for (const line of treeLines(found)) report.print(line)
}

function asJson({ descriptor, referrers }: Referrers): object {
  return { ...descriptor, referrers: referrers.map(asJson) }
}

function treeLines({ referrers }: Referrers): readonly string[] {
  const kinds = Map.groupBy(referrers, ({ descriptor }) => descriptor.artifactType ?? descriptor.mediaType)
  return branch([...kinds].map(([kind, list]) => [kind, branch(list.map((each) => [each.descriptor.digest, treeLines(each)]))]))
}

function branch(items: readonly (readonly [title: string, below: readonly string[]])[]): readonly string[] {
  return items.flatMap(([title, below], at) => {
    const isLast = at === items.length - 1
    return [`${isLast ? '└──' : '├──'} ${title}`, ...below.map((line) => `${isLast ? '   ' : '│  '} ${line}`)]
  })
}
