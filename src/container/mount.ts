import { posix } from 'node:path'
import { hasCode, StaveError } from '#error.ts'
import { csvFields } from '#text/csv.ts'
import { parseBytes } from '#text/size.ts'

export interface BindMount {
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

export interface VolumeMount {
  readonly type: 'volume'
  /** Absent: an anonymous one, made with the container. */
  readonly name?: string
  readonly target: string
  readonly readonly?: boolean
  /** Do not fill an empty volume with what the image has there. */
  readonly nocopy?: boolean
}

export interface TmpfsMount {
  readonly type: 'tmpfs'
  readonly target: string
  readonly sizeBytes?: number
  readonly mode?: number
  readonly options?: readonly string[]
}

/** What `-v`, `--mount` and `--tmpfs` ask for. */
export type MountOption = BindMount | VolumeMount | TmpfsMount

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
  const common = { target: absolute(target, text), ...(options.readonly && { readonly: true }) }
  if (/^[./~]/.test(source)) {
    const bind: BindMount = { type: 'bind', source: posix.resolve(cwd, source), ...common, create: true, recursive: options.recursive }
    return options.propagation === undefined ? bind : { ...bind, propagation: options.propagation }
  }
  if (!isVolumeName(source))
    throw usage(`cannot use volume ${JSON.stringify(source)}: names have letters, digits, _ . and -`, `A directory is written ./${source}`)
  return { type: 'volume', name: source, ...common, ...(options.nocopy && { nocopy: true }) }
}

function readOptions(list: string, text: string): { readonly: boolean; nocopy: boolean; recursive: boolean; propagation?: string } {
  const result = { readonly: false, nocopy: false, recursive: true }
  let propagation: string | undefined
  for (const option of list.split(',')) {
    if (option === 'ro' || option === 'readonly') result.readonly = true
    else if (option === 'nocopy') result.nocopy = true
    else if (option === 'bind') result.recursive = false
    else if (propagations.has(option)) propagation = option
    // z and Z relabel for SELinux, where it is in use; consistency modes mean something on a Mac only.
    else if (!['', 'rw', 'rbind', 'z', 'Z', 'cached', 'delegated', 'consistent'].includes(option))
      throw usage(`cannot read volume ${JSON.stringify(text)}: it has the unknown option ${JSON.stringify(option)}`)
  }
  return propagation === undefined ? result : { ...result, propagation }
}

/** Reads `--mount type=bind|volume|tmpfs,source=…,target=…[,readonly]…`. The fields are CSV: quotes allow commas. */
export function parseMount(text: string, cwd: string): MountOption {
  const fields = new Map<string, string>()
  for (const field of fieldsOf(text)) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase()
    fields.set(alias[key] ?? key, equals < 0 ? 'true' : field.slice(equals + 1))
  }
  const take = (key: string) => {
    const value = fields.get(key)
    fields.delete(key)
    return value
  }
  const flag = (key: string) => {
    const value = take(key)
    if (value !== undefined && !['true', 'false', '1', '0'].includes(value))
      throw usage(`cannot read mount ${JSON.stringify(text)}: ${key} is ${JSON.stringify(value)} and not true or false`)
    return value === 'true' || value === '1'
  }
  const type = take('type') ?? 'volume'
  const targetText = take('target')
  if (targetText === undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: it has no target`)
  const target = absolute(targetText, text)
  const source = take('source')
  const readonly = flag('readonly') ? { readonly: true } : {}
  let mount: MountOption
  switch (type) {
    case 'bind': {
      if (source === undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: a bind needs a source`)
      const propagation = take('bind-propagation')
      if (propagation !== undefined && !propagations.has(propagation))
        throw usage(`cannot read mount ${JSON.stringify(text)}: ${JSON.stringify(propagation)} is not a propagation`)
      const recursive = !flag('bind-nonrecursive') && take('bind-recursive') !== 'disabled'
      take('consistency')
      mount = { type, source: posix.resolve(cwd, source), target, ...readonly, recursive, ...(propagation && { propagation }) }
      break
    }
    case 'volume': {
      if (source !== undefined && !isVolumeName(source)) throw usage(`cannot use ${JSON.stringify(source)} as the name of a volume`)
      const nocopy = flag('volume-nocopy') ? { nocopy: true } : {}
      mount = { type, target, ...(source !== undefined && source !== '' && { name: source }), ...readonly, ...nocopy }
      break
    }
    case 'tmpfs': {
      if (source !== undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: a tmpfs has no source`)
      const size = take('tmpfs-size')
      const mode = take('tmpfs-mode')
      mount = {
        type,
        target,
        ...(size && { sizeBytes: parseBytes(size) }),
        ...(mode && { mode: octal(mode, text) }),
        ...('readonly' in readonly && { options: ['ro'] }),
      }
      break
    }
    default:
      throw usage(`cannot use mount type ${JSON.stringify(type)}: it is none of bind, volume, tmpfs`)
  }
  for (const left of fields.keys()) throw usage(`cannot read mount ${JSON.stringify(text)}: a ${type} has no field ${JSON.stringify(left)}`)
  return mount
}

const alias: Readonly<Record<string, string>> = { src: 'source', dst: 'target', destination: 'target', ro: 'readonly' }

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

function octal(text: string, whole: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw usage(`cannot read ${JSON.stringify(whole)}: the mode ${JSON.stringify(text)} is not octal`)
  return Number.parseInt(text, 8)
}

/** A target inside the container: absolute, clean, not the root itself. */
function absolute(target: string, text: string): string {
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

function fieldsOf(text: string): string[] {
  try {
    return csvFields(text)
  } catch (error) {
    throw hasCode(error, 'usage') ? error.with({ message: `cannot read mount ${JSON.stringify(text)}: ${error.message}` }) : error
  }
}

function usage(message: string, hint?: string): StaveError {
  return new StaveError('usage', message, hint === undefined ? {} : { hint })
}
