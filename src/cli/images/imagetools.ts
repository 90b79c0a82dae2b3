import { StaveError } from '#error.ts'
import { changedIndex, emptyIndex, entriesOf, type Entries } from '#image/index-edit.ts'
import { readManifest } from '#image/image.ts'
import { transfer } from '#image/transfer.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import { parseJson } from '#oci/decode.ts'
import { decodeDescriptor } from '#oci/descriptor.ts'
import { formatOf } from '#oci/media-type.ts'
import { formatPlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { keyValues, readSmallFile } from '../key-values.ts'
import { compileTemplate } from '../output/template.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { entriesAt } from './index-create.ts'
import type { imagetoolsCreateFlags, imagetoolsInspectFlags } from './index-commands.ts'

const inRegistry = (name: string) => `docker://${name.replace(/^docker:\/\//, '')}`

/** `buildx imagetools create`: bare names are those of registries. */
export async function create({ cx, flags, args, settings, report }: Invocation<typeof imagetoolsCreateFlags>): Promise<void> {
  const [first, ...more] = flags.tag
  if (first === undefined && !flags['dry-run']) throw new StaveError('usage', 'imagetools create: --tag is missing')
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const texts = [...(flags.append && first !== undefined ? [first] : []), ...args]
  const add = [...(await entriesAt(cx, places, texts.map(inRegistry))), ...(await Promise.all(flags.file.map(ofFile)))]
  const entries = add.flatMap(({ descriptors }) => descriptors)
  if (entries.length === 0) throw new StaveError('usage', 'imagetools create: a source is missing')
  const other = flags.annotation.find((text) => /^(manifest|manifest-descriptor|index-descriptor)(\[[^\]]*\])?:/.test(text))
  if (other !== undefined)
    throw new StaveError('usage', `imagetools create: ${other} is no annotation of the index`, { hint: 'The images stay as they are.' })
  const annotations = keyValues(
    flags.annotation.map((text) => text.replace(/^index:/, '')),
    '--annotation',
  )
  const allDocker = entries.every(({ mediaType }) => formatOf(mediaType) === 'docker')
  const { raw, mediaType } = emptyIndex(allDocker && flags.annotation.length === 0 ? 'docker' : 'oci')
  const made = changedIndex(undefined, raw, { mediaType }, [], new Map(add.flatMap(({ owners }) => [...owners])), { add, annotations })
  if (flags['dry-run']) return report.write(await readAll(cx, made.source, made.descriptor, limit.manifestBytes))
  const isAlone = flags['prefer-index'] === false && entries.length === 1
  for (const name of [first!, ...more]) {
    const to = await places.target(cx, inRegistry(name))
    const root = isAlone ? entries[0]! : made.descriptor
    await transfer(cx, { title: `writing ${name}`, from: made.source, root, to: to.target, name: to.name })
  }
  await report.settle()
  report.print(isAlone ? entries[0]!.digest : made.descriptor.digest)

  /** A descriptor whose content the target has to have, as buildx's `--metadata-file` writes it. */
  async function ofFile(file: string): Promise<Entries> {
    const descriptor = decodeDescriptor(parseJson(Buffer.from(readSmallFile(file, settings, limit.jsonBytes)), limit.jsonBytes, file), file)
    const { source } = await places.source(cx, inRegistry(first ?? args[0]!))
    return entriesOf(cx, source, descriptor)
  }
}

/** `buildx imagetools inspect` */
export async function inspect({ cx, flags, args, settings, report }: Invocation<typeof imagetoolsInspectFlags>): Promise<void> {
  const [text = ''] = args
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, inRegistry(text))
  const document = await readManifest(cx, source, await resolveOrLeave(cx, source, name))
  if (flags.raw) return report.write(document.raw)
  const { registry, repository } = parseReference(inRegistry(text).slice('docker://'.length))
  const title = formatReference(parseReference(inRegistry(text).slice('docker://'.length)))
  const { descriptor } = document
  const entries = document.kind === 'index' ? document.index.manifests : []
  if (flags.format !== undefined) {
    const decoded = document.kind === 'index' ? document.index : document.manifest
    return report.print(compileTemplate(flags.format)({ Name: title, Manifest: { ...descriptor, ...decoded } }))
  }
  report.print(`Name:      ${title}`)
  report.print(`MediaType: ${descriptor.mediaType}`)
  report.print(`Digest:    ${descriptor.digest}`)
  if (entries.length > 0) report.print('           \nManifests: ')
  for (const entry of entries) {
    report.print(`  Name:        ${formatReference({ registry, repository })}@${entry.digest}`)
    report.print(`  MediaType:   ${entry.mediaType}`)
    if (entry.platform !== undefined) report.print(`  Platform:    ${formatPlatform(entry.platform)}`)
    if (entry.annotations !== undefined) report.print('  Annotations: ')
    for (const [key, value] of Object.entries(entry.annotations ?? {})) report.print(`    ${key}: ${value}`)
    report.print('')
  }
}
