import { resolve } from 'node:path'
import type { Annotation, BuildOptions, Output } from '#builder/options.ts'
import { StaveError } from '#error.ts'
import { attributes, booleanOf, isSoAnyway, refuseUnknown, type Attributes } from '../attributes.ts'
import { buildCompression } from './compression.ts'
import type { Settings } from '../settings.ts'

/** What `--output`, `--push` and `--load` ask for; also what they say of how the image is written, which is one for all of them. */
export type OutputOptions = Pick<BuildOptions, 'outputs' | 'compression' | 'compressionLevel' | 'forceCompression' | 'format'> & {
  readonly annotations: readonly Annotation[]
}

export interface OutputFlags {
  readonly output: readonly string[]
  readonly push: boolean | undefined
  readonly load: boolean | undefined
}

/** @throws StaveError `usage` */
export function outputsOf(flags: OutputFlags, settings: Settings): OutputOptions {
  const outputs: Output[] = []
  const annotations: Annotation[] = []
  let form: Omit<OutputOptions, 'outputs' | 'annotations'> = {}
  for (const text of flags.output) {
    const given = readOutput(text)
    outputs.push(outputOf(given, text, settings))
    annotations.push(...Object.entries(given).flatMap(([key, value]) => annotationOf(key, value)))
    const own = formOf(given, `--output ${text}`)
    for (const key of Object.keys(own) as (keyof typeof own)[]) {
      if (form[key] !== undefined && form[key] !== own[key])
        throw new StaveError('usage', `--output ${text}: another output has another ${key}, and the image is written once`)
    }
    form = { ...form, ...own }
  }
  if (flags.push) addPush(outputs)
  if (flags.load && !outputs.some(({ type }) => type === 'image')) outputs.push({ type: 'image' })
  return { ...(outputs.length > 0 && { outputs }), ...form, annotations }
}

/** `--push` is about an image that is an output already, if there is one. */
function addPush(outputs: Output[]): void {
  const at = outputs.findIndex(({ type }) => type === 'image')
  const image = outputs[at]
  if (image?.type === 'image') outputs[at] = { ...image, push: true }
  else if (!outputs.some(({ type }) => type === 'registry')) outputs.push({ type: 'image', push: true })
}

/** A bare path is a directory, `-` a tar on stdout. */
function readOutput(text: string): Attributes {
  if (text === '-') return { type: 'tar', dest: '-' }
  return /(^|,)type=/.test(text) ? attributes(text, '--output') : { type: 'local', dest: text }
}

const imageKeys = [
  'type',
  'name',
  'compression',
  'compression-level',
  'force-compression',
  'oci-mediatypes',
  'oci-artifact',
  'rewrite-timestamp',
]
const storeKeys = [...imageKeys, 'push', 'push-by-digest', 'name-canonical', 'store', 'unpack']
const known: Readonly<Record<string, readonly string[]>> = {
  image: storeKeys,
  registry: storeKeys,
  oci: [...imageKeys, 'dest', 'tar'],
  docker: [...imageKeys, 'dest', 'tar'],
  local: ['type', 'dest', 'platform-split', 'mode'],
  tar: ['type', 'dest', 'platform-split'],
  cacheonly: ['type'],
}

function outputOf(given: Attributes, text: string, settings: Settings): Output {
  const shown = `--output ${text}`
  const type = given['type'] ?? ''
  if (!Object.hasOwn(known, type)) {
    throw new StaveError('usage', `${shown} is not understood`, {
      hint: 'There are image, registry, oci, docker, local, tar and cacheonly.',
    })
  }
  const plain = Object.fromEntries(Object.entries(given).filter(([key, value]) => annotationOf(key, value).length === 0))
  refuseUnknown(plain, known[type]!, shown)
  isSoAnyway(given, 'rewrite-timestamp', shown, 'with SOURCE_DATE_EPOCH, later times are always set to it')
  isSoAnyway(given, 'oci-artifact', shown, 'attestations are always artifacts that refer to their image')
  isSoAnyway(given, 'store', shown, 'write type=registry for an image that is not kept here')
  const names = given['name'] ? { names: given['name'].split(',') } : {}
  const byDigest = booleanOf(given, 'push-by-digest', shown) ? { byDigest: true } : {}
  const split = booleanOf(given, 'platform-split', shown)
  const splitting = split === undefined ? {} : { platformSplit: split }
  const dest = given['dest'] === undefined || given['dest'] === '-' ? given['dest'] : resolve(settings.cwd, given['dest'])
  switch (type) {
    case 'image':
      return { type, ...names, push: booleanOf(given, 'push', shown) ?? false, ...byDigest }
    case 'registry':
      return { type, ...names, ...byDigest }
    case 'oci': {
      const tar = booleanOf(given, 'tar', shown)
      if (tar === false) return { type, dest: directory(dest, shown), tar, ...names }
      return { type, dest: stream(dest, shown), ...names }
    }
    case 'docker':
      isSoAnyway(given, 'tar', shown, 'there is type=oci,tar=false')
      return given['dest'] === undefined ? { type: 'image', ...names } : { type, dest: stream(dest, shown), ...names }
    case 'local':
      if ((given['mode'] ?? 'copy') !== 'copy') throw new StaveError('usage', `${shown}: mode is copy: nothing of a directory is deleted`)
      return { type, dest: directory(dest, shown), ...splitting }
    case 'tar':
      return { type, dest: stream(dest, shown), ...splitting }
    default:
      return { type: 'cacheonly' }
  }
}

function directory(dest: string | undefined, shown: string): string {
  if (dest === undefined) throw new StaveError('usage', `${shown}: dest= is missing`)
  if (dest === '-') throw new StaveError('usage', `${shown}: a directory does not go to standard output`)
  return dest
}

function stream(dest: string | undefined, shown: string): string {
  if ((dest ?? '-') === '-' && process.stdout.isTTY) {
    throw new StaveError('usage', `${shown}: an archive is not written to a terminal`, {
      hint: 'Name a file with dest=FILE, or redirect standard output.',
    })
  }
  return dest ?? '-'
}

function formOf(given: Attributes, shown: string): Omit<OutputOptions, 'outputs' | 'annotations'> {
  const oci = booleanOf(given, 'oci-mediatypes', shown)
  return {
    ...buildCompression(given['compression'], given['compression-level'], shown),
    ...(booleanOf(given, 'force-compression', shown) === true && { forceCompression: true }),
    ...(oci !== undefined && { format: oci ? ('oci' as const) : ('docker' as const) }),
  }
}

/** `annotation[-LEVEL][[PLATFORM]].KEY` */
function annotationOf(key: string, value: string): Annotation[] {
  const match = /^annotation(?:-(manifest|index|manifest-descriptor|index-descriptor))?(?:\[([^\]]*)\])?\.(.+)$/s.exec(key)
  if (match === null) return []
  const [, level = 'manifest', platform, name = ''] = match
  return [{ level: level as Annotation['level'], key: name, value, ...(platform && { platform }) }]
}
