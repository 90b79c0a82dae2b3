import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { backup, type BackupRoot } from '#mirror/backup.ts'
import { readInventories, writeInventory } from '#mirror/inventory.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'
import { createFiles } from '#places/files.ts'
import { parseLocation } from '#places/location.ts'
import { type Places, resolveOrLeave } from '#places/places.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { artifactBackupFlags } from './commands.ts'

/** Writes images to one archive. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof artifactBackupFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  if (flags.output === undefined) throw new StaveError('usage', 'stave artifact backup: -o FILE is missing')
  const path = (file: string) => resolve(settings.cwd, file)
  const known = await readInventories(flags.known.map(path))
  let session: ReturnType<typeof openSession> | undefined
  await using places = createPlaces(settings, flags, () => (session ??= openSession(settings)))
  const roots: BackupRoot[] = []
  for (const name of args) roots.push(...(await rootsOf(cx, places, name)))
  const { target } = await createFiles({ transport: 'oci-archive', path: flags.output, name: undefined }, settings)
  await using archive = target
  const made = await backup(cx, archive, roots, { known, referrers: flags.referrers ?? true })
  await archive.finish?.(cx)
  await (await session)?.[Symbol.asyncDispose]()
  if (flags.inventory !== undefined) await writeInventory(path(flags.inventory), known.contents, made.contents)
  await report.settle()
  const { contents: _, ...counts } = made
  if (flags.json) return report.json(counts)
  const { images, blobs, bytes, omitted } = made
  report.print(`${images} image${images === 1 ? '' : 's'}, ${blobs} blob${blobs === 1 ? '' : 's'}: ${formatBytes(bytes)}`)
  if (omitted.blobs > 0) report.print(`left out, as the other side has it: ${formatBytes(omitted.bytes)}`)
}

/** What one word of the command line stands for. */
async function rootsOf(cx: Context, places: Places, text: string): Promise<BackupRoot[]> {
  const location = parseLocation(text)
  if (location.transport !== 'docker' && location.transport !== 'store') {
    throw new StaveError('usage', `cannot back up ${text}: it has no name for the other side`, {
      hint: 'Images of registries (docker://NAME) and of the store have; stave copy brings others there.',
    })
  }
  const references = location.transport === 'docker' ? await referencesOf(cx, places, location.name) : [parseReference(location.name)]
  return Promise.all(
    references.map(async (reference) => {
      const name = formatReference(reference)
      const { source, name: asked } = await places.source(cx, { transport: location.transport, name })
      return { name, repository: reference.repository, source, descriptor: await resolveOrLeave(cx, source, asked) }
    }),
  )
}

/** `NAME:TAG`, `NAME@DIGEST`, `NAME:TAG,TAG`, or all tags of `NAME`. */
async function referencesOf(cx: Context, places: Places, text: string): Promise<Reference[]> {
  const [, name, tags] = /^(.*):([^/@:]+,[^/@:]+)$/.exec(text) ?? []
  if (name !== undefined && tags !== undefined) return tags.split(',').map((tag) => parseReference(`${name}:${tag}`))
  const reference = parseReference(text)
  if (/:[^/]+$/.test(text) || reference.digest !== undefined) return [reference]
  const registry = await places.registry(reference)
  return (await registry.listTags(cx)).map((tag) => ({ ...reference, tag }))
}
