import { diffFiles, diffLayers, type FileChange } from '#image/diff.ts'
import { type Image, openImage } from '#image/image.ts'
import { isIndex } from '#oci/media-type.ts'
import { resolveOrLeave } from '#places/places.ts'
import { diffJson } from '#text/line-diff.ts'
import type { Invocation } from '../command.ts'
import { formatBytes } from '../output/progress/renderer.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { wantedPlatform } from './fetch.ts'
import type { imageDiffFlags } from './verb-commands.ts'

/** Tells what differs between two images. @returns 1 if anything does */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof imageDiffFlags>): Promise<number> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const open = async (text: string): Promise<Image> => {
    const { source, name } = await places.source(cx, text)
    const root = await resolveOrLeave(cx, source, name)
    const isChosen = flags.platform !== undefined || isIndex(root.mediaType)
    return openImage(cx, source, root, isChosen ? wantedPlatform(flags.platform, settings) : undefined)
  }
  const [before, after] = [await open(args[0]!), await open(args[1]!)]
  const isSame = before.descriptor.digest === after.descriptor.digest
  const config = diffJson(await before.config(cx), await after.config(cx))
  const layers = diffLayers(before, after)
  const files = flags.files === false || isSame ? [] : await diffFiles(cx, before, after)
  await report.settle()
  if (flags.json) report.json({ before: summary(before), after: summary(after), config, layers, files })
  else {
    report.print(`- ${args[0]}  ${title(before)}`)
    report.print(`+ ${args[1]}  ${title(after)}`)
    report.print(`layers: ${layers.common.length} in common, ${layers.before.length} and ${layers.after.length} of their own`)
    if (config.length > 0) report.print('config:')
    for (const line of config) report.print(`  ${line}`)
    if (files.length > 0) report.print('files:')
    for (const change of files) report.print(`  ${fileLine(change)}`)
  }
  return isSame ? 0 : 1
}

function summary({ descriptor, manifest }: Image) {
  return { digest: descriptor.digest, size: manifest.layers.reduce((sum, { size }) => sum + size, 0), layers: manifest.layers.length }
}

function title(image: Image): string {
  const { digest, size, layers } = summary(image)
  return `${digest}  ${formatBytes(size)} in ${layers} layer${layers === 1 ? '' : 's'}`
}

function fileLine({ path, before, after }: FileChange): string {
  if (before === undefined) return `+ ${path}${sizeOf(after)}`
  if (after === undefined) return `- ${path}${sizeOf(before)}`
  const fields = (['type', 'mode', 'owner'] as const).filter((field) => before[field] !== after[field])
  const changes = fields.map((field) => `${field} ${before[field]} → ${after[field]}`)
  if (before.content !== after.content)
    changes.push(before.size === after.size ? 'content' : `content, ${formatBytes(before.size)} → ${formatBytes(after.size)}`)
  return `~ ${path}  ${changes.join(', ')}`
}

function sizeOf(entry: FileChange['before']): string {
  return entry?.type === 'file' ? `  ${formatBytes(entry.size)}` : ''
}
