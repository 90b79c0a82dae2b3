import { existsSync, globSync } from 'node:fs'
import { isAbsolute, normalize, resolve, sep } from 'node:path'
import { makeArtifact, titleAnnotation, type ArtifactLayer, type ArtifactOptions } from '#artifact/artifact.ts'
import { packFile } from '#artifact/pack.ts'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import { transfer } from '#image/transfer.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { parsePlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation, Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { parseLocation } from '#places/location.ts'
import { type OpenTarget, type Places, resolveOrLeave } from '#places/places.ts'
import { createPlaces, spoolDirectory } from '../places.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { artifactAttachFlags, artifactPushFlags } from './commands.ts'

type Flags = Values<typeof artifactPushFlags>

/** `stave artifact push` */
export async function push(invocation: Invocation<typeof artifactPushFlags>): Promise<void> {
  const { cx, flags, args, settings } = invocation
  const [place = ''] = args
  await using places = createPlaces(settings, flags, () => openSession(settings))
  await send(invocation, undefined, () => places.target(cx, place))
}

/** `stave artifact attach`: the artifact has no name, and is found by what it refers to. */
export async function attach(invocation: Invocation<typeof artifactAttachFlags>): Promise<void> {
  const { cx, flags, args, settings } = invocation
  const [place = ''] = args
  if (flags['artifact-type'] === undefined && flags.config === undefined) {
    throw new StaveError('usage', 'stave artifact attach: --artifact-type is missing', {
      hint: 'It says what the files are, such as application/spdx+json.',
    })
  }
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, place)
  const named = await resolveOrLeave(cx, source, name)
  const subject = flags.platform === undefined ? named : (await openImage(cx, source, named, parsePlatform(flags.platform))).descriptor
  await send(invocation, subject, () => unnamed(cx, places, place))
}

async function unnamed(cx: Context, places: Places, place: string): Promise<OpenTarget> {
  const location = parseLocation(place)
  if (location.transport === 'docker') return { target: await places.registry(parseReference(location.name)), name: undefined }
  if (location.transport === 'oci') return { ...(await places.target(cx, place)), name: undefined }
  throw new StaveError('unsupported', `cannot attach to ${place}: only registries and OCI layouts tell what refers to an image`)
}

async function send(
  { cx, flags, args, settings, report }: Invocation<typeof artifactPushFlags>,
  subject: Descriptor | undefined,
  open: () => Promise<OpenTarget>,
): Promise<void> {
  const [place = '', ...words] = args
  await using kept = new AsyncDisposableStack()
  const layers: ArtifactLayer[] = []
  for (const { path, mediaType } of words.flatMap((word) => filesOf(word, settings))) layers.push(await layerOf(path, mediaType))
  const titles = layers.map(({ descriptor }) => descriptor.annotations![titleAnnotation])
  const twice = titles.find((title, at) => titles.indexOf(title) !== at)
  if (twice !== undefined) throw new StaveError('usage', `${twice} is given twice`)
  const config = flags.config === undefined ? undefined : await configOf(flags.config)
  const made = makeArtifact(layers, options(flags, settings, config, subject))
  const { target, name } = await open()
  await transfer(cx, { title: `pushing ${place}`, from: made.source, root: made.descriptor, to: target, name })
  await report.settle()
  if (flags.json) report.json(made.descriptor)
  else report.print(made.descriptor.digest)

  async function layerOf(path: string, mediaType: string | undefined): Promise<ArtifactLayer> {
    const title = titleOf(path)
    const type = mediaType === undefined ? {} : { mediaType }
    return kept.use(await packFile(cx, resolve(settings.cwd, path), { title, ...type, temporary: spoolDirectory(settings) }))
  }

  /** A config has no name: nothing is written when it is pulled. */
  async function configOf(word: string): Promise<ArtifactLayer> {
    const [path, mediaType] = splitType(word, settings)
    const { descriptor, source } = await layerOf(path, mediaType ?? 'application/vnd.unknown.config.v1+json')
    const { annotations: _, ...rest } = descriptor
    return { descriptor: rest, source }
  }
}

function options(flags: Flags, settings: Settings, config: ArtifactLayer | undefined, subject: Descriptor | undefined): ArtifactOptions {
  const epoch = settings.env['SOURCE_DATE_EPOCH']
  const created = epoch !== undefined && /^\d+$/.test(epoch) ? new Date(Number(epoch) * 1000) : new Date()
  return {
    created,
    ...(flags['artifact-type'] !== undefined && { artifactType: flags['artifact-type'] }),
    ...(config !== undefined && { config }),
    ...(subject !== undefined && { subject }),
    annotations: keyValues(flags.annotation, '--annotation'),
  }
}

/** A word is a path, or a pattern; the part behind the last colon is a media type if it has a slash. */
function filesOf(word: string, settings: Settings): readonly { readonly path: string; readonly mediaType: string | undefined }[] {
  const [path, mediaType] = splitType(word, settings)
  if (!/[*?[{]/.test(path) || existsSync(resolve(settings.cwd, path))) return [{ path, mediaType }]
  const found = globSync(path, { cwd: settings.cwd, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name).slice(resolve(settings.cwd).length + 1))
    .toSorted()
  if (found.length === 0) throw new StaveError('not-found', `cannot find a file that matches ${path}`)
  return found.map((file) => ({ path: file, mediaType }))
}

function splitType(word: string, settings: Settings): readonly [path: string, mediaType: string | undefined] {
  const colon = word.lastIndexOf(':')
  if (colon <= 0 || existsSync(resolve(settings.cwd, word)) || !word.slice(colon + 1).includes('/')) return [word, undefined]
  return [word.slice(0, colon), word.slice(colon + 1)]
}

/** The path as it was typed is the file's name: who pulls the artifact gets it there again. @throws StaveError `usage` */
function titleOf(path: string): string {
  const title = normalize(path).replaceAll(sep, '/').replace(/\/+$/, '')
  if (isAbsolute(path) || title === '..' || title.startsWith('../') || title === '.') {
    throw new StaveError(
      'usage',
      `cannot push ${path}: it is not below the working directory, and whoever pulls it could not put it there`,
      {
        hint: 'Change to its directory, and name it from there.',
      },
    )
  }
  return title
}
