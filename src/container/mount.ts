import { posix } from 'node:path'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { MountAttribute } from '#runner/protocol.ts'
import { parseBytes } from '#text/size.ts'

export interface BindMount extends MountWishes {
  readonly type: 'bind'
  /** Absolute, on the host. */
  readonly source: string
  readonly target: string
  readonly readonly?: boolean
  readonly propagation?: string
  readonly recursive?: boolean
  /** Make a directory of the source if it is not there (`-v`, but not `--mount`). */
  readonly create?: boolean
}

/** What a bind and a volume have in common. */
export interface MountWishes {
  readonly attributes?: readonly MountAttribute[]
  /** The source, and all in it, belongs to the user of the container from then on. */
  readonly own?: boolean
  /** What is written there is thrown away. */
  readonly overlay?: boolean
}

export interface VolumeMount extends MountWishes {
  readonly type: 'volume'
  /** Absent: an anonymous one, made with the container. */
  readonly name?: string
  readonly target: string
  readonly readonly?: boolean
  /** Do not fill an empty volume with what the image has there. */
  readonly nocopy?: boolean
  /** A directory, or file, in the volume in place of all of it. */
  readonly subpath?: string
}

/** The files of an image. */
export interface ImageMount {
  readonly type: 'image'
  readonly image: string
  readonly target: string
  /** Default: yes. What is written to one that is not is thrown away. */
  readonly readonly: boolean
  readonly subpath?: string
  /** Known when the container is made. */
  readonly manifest?: Descriptor
}

export interface TmpfsMount {
  readonly type: 'tmpfs'
  readonly target: string
  readonly sizeBytes?: number
  readonly mode?: number
  readonly options?: readonly string[]
}

/** What `-v`, `--mount` and `--tmpfs` ask for. */
export type MountOption = BindMount | VolumeMount | TmpfsMount | ImageMount

const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/
const propagations = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])

export function isVolumeName(name: string): boolean {
  return volumeName.test(name)
}

/**
 * Reads `-v`: `TARGET`, `VOLUME:TARGET[:OPTIONS]`, `/HOST/PATH:TARGET[:OPTIONS]`, `./relative:TARGET`. A source with a
 * slash or dot in front is a path, from `cwd` on; else it is the name of a volume.
 */
export function parseVolume(text: string, cwd: string): MountOption {
  const parts = text.split(':')
  if (parts.length > 3 || parts.some((part, position) => part === '' && position < 2))
    throw usage(`cannot read volume ${JSON.stringify(text)}: expected [SOURCE:]TARGET[:OPTIONS]`)
  if (parts.length === 1) return { type: 'volume', target: absolute(parts[0]!, text) }
  const [source, target, list] = parts as [string, string, string | undefined]
  const options = readOptions(list ?? '', text)
  const common = { target: absolute(target, text), ...(options.readonly && { readonly: true }), ...wishesOf(options) }
  if (/^[./~]/.test(source)) {
    const bind: BindMount = { type: 'bind', source: posix.resolve(cwd, source), ...common, create: true, recursive: options.recursive }
    return options.propagation === undefined ? bind : { ...bind, propagation: options.propagation }
  }
  if (!isVolumeName(source))
    throw usage(`cannot use volume ${JSON.stringify(source)}: names have letters, digits, _ . and -`, `A directory is written ./${source}`)
  return { type: 'volume', name: source, ...common, ...(options.nocopy && { nocopy: true }) }
}

interface VolumeOptions {
  readonly: boolean
  nocopy: boolean
  recursive: boolean
  own: boolean
  overlay: boolean
  readonly attributes: MountAttribute[]
  propagation?: string
}

const attributeWords: readonly string[] = ['noexec', 'nosuid', 'nodev']
// z and Z relabel for SELinux, where it is in use; consistency modes mean something on a Mac only; the rest is so anyway.
const emptyWords = ['', 'rw', 'rbind', 'z', 'Z', 'cached', 'delegated', 'consistent', 'copy', 'exec', 'suid', 'dev']

export function isMountAttribute(word: string): word is MountAttribute {
  return attributeWords.includes(word)
}

function readOptions(list: string, text: string): VolumeOptions {
  const result: VolumeOptions = { readonly: false, nocopy: false, recursive: true, own: false, overlay: false, attributes: [] }
  for (const option of list.split(',')) {
    if (option === 'ro' || option === 'readonly') result.readonly = true
    else if (option === 'nocopy') result.nocopy = true
    else if (option === 'bind') result.recursive = false
    else if (option === 'U') result.own = true
    else if (option === 'O') result.overlay = true
    else if (isMountAttribute(option)) result.attributes.push(option)
    else if (isPropagation(option)) result.propagation = option
    else if (!emptyWords.includes(option))
      throw usage(`cannot read volume ${JSON.stringify(text)}: it has the unknown option ${JSON.stringify(option)}`)
  }
  return result
}

function wishesOf({ own, overlay, attributes }: VolumeOptions): MountWishes {
  return { ...(own && { own }), ...(overlay && { overlay }), ...(attributes.length > 0 && { attributes }) }
}

export function isPropagation(word: string): boolean {
  return propagations.has(word)
}

/** Reads `--tmpfs TARGET[:OPTIONS]`: `size=64m`, `mode=1777`, and mount options that the kernel knows. */
export function parseTmpfs(text: string): TmpfsMount {
  const colon = text.indexOf(':')
  const target = absolute(colon < 0 ? text : text.slice(0, colon), text)
  let sizeBytes: number | undefined
  let mode: number | undefined
  const options: string[] = []
  for (const option of colon < 0 ? [] : text.slice(colon + 1).split(',')) {
    if (option.startsWith('size=')) sizeBytes = parseBytes(option.slice(5))
    else if (option.startsWith('mode=')) mode = octal(option.slice(5), text)
    else if (/^(ro|rw|noexec|exec|nosuid|suid|nodev|dev|noatime|relatime|strictatime|(uid|gid|nr_inodes)=\d+)$/.test(option))
      options.push(option)
    else if (option !== '') throw usage(`cannot read tmpfs ${JSON.stringify(text)}: it has the unknown option ${JSON.stringify(option)}`)
  }
  return {
    type: 'tmpfs',
    target,
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(mode !== undefined && { mode }),
    ...(options.length > 0 && { options }),
  }
}

export function octal(text: string, whole: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw usage(`cannot read ${JSON.stringify(whole)}: the mode ${JSON.stringify(text)} is not octal`)
  return Number.parseInt(text, 8)
}

/** A target inside the container: absolute, clean, not the root itself. */
export function absolute(target: string, text: string): string {
  if (!target.startsWith('/'))
    throw usage(`cannot use mount ${JSON.stringify(text)}: its target ${JSON.stringify(target)} is not an absolute path`)
  const clean = cleanTarget(target)
  if (clean === '/') throw usage(`cannot use mount ${JSON.stringify(text)}: the target must not be /`)
  return clean
}

/** `/a/./b//c/` is `/a/b/c`; `..` does not lead above the root. */
export function cleanTarget(target: string): string {
  const clean = posix.normalize(`/${target}`)
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean
}

export function usage(message: string, hint?: string): StaveError {
  return new StaveError('usage', message, hint === undefined ? {} : { hint })
}
