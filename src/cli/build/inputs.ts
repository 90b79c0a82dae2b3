import { resolve } from 'node:path'
import type { CacheBackend, SecretSource } from '#builder/options.ts'
import { StaveError } from '#error.ts'
import { attributes, booleanOf, isSoAnyway, refuseUnknown } from '../attributes.ts'
import { keyValues } from '../key-values.ts'
import type { Settings } from '../settings.ts'

/** `--secret id=ID[,src=FILE|env=VAR][,type=file|env]`. @throws StaveError `usage`, `secret-missing` */
export function secretOf(text: string, settings: Settings): SecretSource {
  const given = attributes(text, '--secret')
  const shown = `--secret ${text}`
  const id = given['id']
  if (!id) throw new StaveError('usage', `--secret takes id=ID[,src=FILE|env=VAR], not ${JSON.stringify(text)}`)
  refuseUnknown(given, ['id', 'src', 'source', 'env', 'type'], shown)
  const { type } = given
  if (type !== undefined && type !== 'file' && type !== 'env')
    throw new StaveError('usage', `${shown}: there is no type ${type}`, { hint: 'There are file and env.' })
  const file = given['src'] ?? given['source']
  const variable = given['env'] ?? (type === 'env' ? (file ?? id) : undefined)
  if (variable !== undefined && (type === 'file' || (given['env'] !== undefined && file !== undefined)))
    throw new StaveError('usage', `${shown}: it is either a file or a variable`)
  if (variable !== undefined) {
    const value = settings.env[variable]
    if (value === undefined) throw new StaveError('secret-missing', `cannot use secret ${id}: the environment has no ${variable}`)
    return { id, value: Buffer.from(value) }
  }
  if (file !== undefined) return { id, file: resolve(settings.cwd, file.replace(/^~(?=\/)/, settings.home)) }
  // Neither: the variable of that name first, then the file, as buildx does.
  const value = type === 'file' ? undefined : settings.env[id]
  return value === undefined ? { id, file: resolve(settings.cwd, id) } : { id, value: Buffer.from(value) }
}

/** `--build-context NAME=WHERE`. @throws StaveError `usage` */
export function buildContextsOf(words: readonly string[]): Record<string, string> {
  const bad = words.find((word) => !/^[^=]+=./s.test(word))
  if (bad !== undefined) throw new StaveError('usage', `--build-context takes NAME=WHERE, not ${JSON.stringify(bad)}`)
  return keyValues(words, '--build-context')
}

const noService = {
  hint: 'Use type=registry,ref=NAME: any registry keeps a cache, such as ghcr.io or the one that the images are pushed to.',
}

/** `--cache-from` and `--cache-to`: a name, or `type=…`. @throws StaveError `usage`, `unsupported` */
export function cacheBackend(text: string, settings: Settings, side: 'from' | 'to'): CacheBackend {
  const flag = `--cache-${side}`
  const shown = `${flag} ${text}`
  if (text !== '' && !/(^|,)type=/.test(text)) return { type: 'registry', ref: text, mode: 'max' }
  const given = attributes(text, flag)
  const { type = '' } = given
  const mode = given['mode'] as 'min' | 'max' | undefined
  if (['gha', 's3', 'azblob'].includes(type)) throw new StaveError('unsupported', `${shown}: there is no cache of type ${type}`, noService)
  if (mode !== undefined && !['min', 'max'].includes(mode))
    throw new StaveError('usage', `${shown}: there is no mode ${mode}`, { hint: 'There are min and max.' })
  const known = side === 'from' ? fromKeys : toKeys
  if (!Object.hasOwn(known, type)) {
    throw new StaveError('usage', `${shown}: there is no cache of type ${type} here`, {
      hint: `There are ${Object.keys(known).join(', ')}.`,
    })
  }
  refuseUnknown(given, known[type]!, shown)
  isSoAnyway(given, 'image-manifest', shown, 'a cache is an image manifest')
  isSoAnyway(given, 'oci-mediatypes', shown, "a cache has OCI's media types")
  const own = {
    ...(mode !== undefined && { mode }),
    ...(booleanOf(given, 'mounts', shown) === true && { mounts: true }),
    ...(booleanOf(given, 'ignore-error', shown) === true && { optional: true }),
  } as const
  const path = side === 'from' ? given['src'] : given['dest']
  if (type === 'registry' && given['ref']) return { type, ref: given['ref'], ...own }
  if (type === 'local' && path) {
    const tag = given['digest'] ?? given['tag']
    return { type, path: resolve(settings.cwd, path), ...(tag && { tag }), ...own }
  }
  if (type === 'inline') return { type }
  throw new StaveError('usage', `${shown} is not understood`, {
    hint: `There are type=registry,ref=NAME, type=local,${side === 'from' ? 'src' : 'dest'}=DIR${side === 'to' ? ', and type=inline' : ''}.`,
  })
}

const fromKeys: Readonly<Record<string, readonly string[]>> = {
  registry: ['type', 'ref', 'mode'],
  local: ['type', 'src', 'tag', 'digest', 'mode'],
}
const written = ['type', 'mode', 'mounts', 'image-manifest', 'oci-mediatypes', 'ignore-error']
const toKeys: Readonly<Record<string, readonly string[]>> = {
  registry: [...written, 'ref'],
  local: [...written, 'dest', 'tag'],
  inline: ['type', 'mode'],
}
