import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { isDigest } from '#oci/digest.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'
import type { Listed } from './content.ts'

/** The name of an entry of a layout. @see image-spec, "Pre-Defined Annotation Keys" */
export const refName = 'org.opencontainers.image.ref.name'
/** The full reference that containerd and Docker write beside it; `ref.name` is then the tag alone. */
export const containerdName = 'io.containerd.image.name'

/** The name of an entry of an index.json: the full reference, where there is one. */
export function namesOf(descriptor: Descriptor): readonly string[] {
  const name = descriptor.annotations?.[containerdName] || descriptor.annotations?.[refName]
  return name === undefined || name === '' ? [] : [name]
}

/** The descriptor without the names that it had in some index.json: as it is to be used elsewhere. */
export function withoutNames(descriptor: Descriptor): Descriptor {
  if (descriptor.annotations === undefined) return descriptor
  const { [refName]: _, [containerdName]: __, ...annotations } = descriptor.annotations
  const { annotations: ___, ...rest } = descriptor
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations }
}

/** The descriptor as an entry of an index.json under a name. Without a name it is an entry that only its digest finds. */
export function withName(descriptor: Descriptor, name: string): Descriptor {
  const bare = withoutNames(descriptor)
  if (name === '') return bare
  const fullName = fullNameOf(name)
  // Of a full reference, `ref.name` has the tag alone, as BuildKit and containerd write it; what a person calls an image stays as it is.
  const short = fullName === name ? (tagOf(name) ?? name) : name
  return { ...bare, annotations: { ...bare.annotations, ...(fullName !== undefined && { [containerdName]: fullName }), [refName]: short } }
}

/** Does an entry have this name, in whatever spelling? */
export function isNamed(descriptor: Descriptor, name: string): boolean {
  const { [refName]: short, [containerdName]: full } = descriptor.annotations ?? {}
  return full === undefined ? short === name : full === fullNameOf(name) || full === name
}

/** The full reference of a name that is more than a tag. */
function fullNameOf(name: string): string | undefined {
  return /[:/]/.test(name) ? canonical(name) : undefined
}

/** Entries of an index.json, each content once with all its names. */
export function listEntries(entries: readonly Descriptor[]): readonly Listed[] {
  const byDigest = new Map<string, { descriptor: Descriptor; names: string[] }>()
  for (const entry of entries) {
    const known = byDigest.get(entry.digest)
    if (known === undefined) byDigest.set(entry.digest, { descriptor: withoutNames(entry), names: [...namesOf(entry)] })
    else known.names.push(...namesOf(entry).filter((name) => !known.names.includes(name)))
  }
  return [...byDigest.values()]
}

/**
 * Finds an entry: by the name exactly, else by the same reference in another spelling, else by digest, else by tag
 * alone. The empty name is the only entry there is; `@3` is the fourth.
 *
 * @throws StaveError `not-found`, which lists what is there
 */
export function findEntry(list: readonly Listed[], name: string, title: string): Descriptor {
  if (name === '') {
    if (list.length === 1) return list[0]!.descriptor
    throw new StaveError(
      'not-found',
      `cannot choose an image of ${title}: it has ${list.length === 0 ? 'none' : list.length}`,
      hintOf(list),
    )
  }
  const position = /^@(\d{1,6})$/.exec(name)
  if (position !== null) {
    const entry = list[Number(position[1])]
    if (entry === undefined) throw new StaveError('not-found', `cannot find image ${name} in ${title}: it has ${list.length}`)
    return entry.descriptor
  }
  const full = canonical(name)
  const found =
    only(list, title, name, (candidate) => candidate === name) ??
    (full === undefined ? undefined : only(list, title, name, (candidate) => canonical(candidate) === full)) ??
    (isDigest(name) ? list.find((entry) => entry.descriptor.digest === name)?.descriptor : undefined) ??
    only(list, title, name, (candidate) => tagOf(candidate) === name)
  if (found !== undefined) return found
  throw new StaveError('not-found', `cannot find ${JSON.stringify(name)} in ${title}`, hintOf(list))
}

function only(list: readonly Listed[], title: string, name: string, matches: (name: string) => boolean): Descriptor | undefined {
  const found = list.filter((entry) => entry.names.some(matches))
  if (found.length > 1) {
    const digests = found.map((entry) => entry.descriptor.digest).join(', ')
    throw new StaveError('conflict', `cannot choose ${JSON.stringify(name)} in ${title}: ${found.length} entries have this name`, {
      hint: `Name one by its digest: ${digests}.`,
    })
  }
  return found[0]?.descriptor
}

/** The full reference that a name stands for; `undefined` for names that are none. */
export function canonical(name: string): string | undefined {
  const reference = tryParse(name)
  return reference === undefined ? undefined : formatReference(reference)
}

function tagOf(name: string): string | undefined {
  return tryParse(name)?.tag
}

function tryParse(name: string): Reference | undefined {
  try {
    return parseReference(name)
  } catch {
    return undefined
  }
}

function hintOf(list: readonly Listed[]): { hint?: string } {
  if (list.length === 0) return {}
  const names = list.map((entry) => entry.names[0] ?? entry.descriptor.digest)
  return { hint: `It has ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}.` }
}
