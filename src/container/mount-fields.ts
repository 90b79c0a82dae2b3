import { posix } from 'node:path'
import { hasCode } from '#error.ts'
import { csvFields } from '#text/csv.ts'
import { parseBytes } from '#text/size.ts'
import {
  absolute,
  isMountAttribute,
  isPropagation,
  isVolumeName,
  octal,
  usage,
  type BindMount,
  type ImageMount,
  type MountOption,
  type MountWishes,
  type TmpfsMount,
  type VolumeMount,
} from './mount.ts'

const alias: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  u: 'chown',
  subpath: 'volume-subpath',
  'image-subpath': 'volume-subpath',
}

/** The fields of one `--mount`, each of which is taken once. */
class Fields {
  readonly text: string
  readonly #fields = new Map<string, string>()
  constructor(text: string) {
    this.text = text
    for (const field of fieldsOf(text)) {
      const equals = field.indexOf('=')
      const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase()
      this.#fields.set(alias[key] ?? key, equals < 0 ? 'true' : field.slice(equals + 1))
    }
  }

  take(key: string): string | undefined {
    const value = this.#fields.get(key)
    this.#fields.delete(key)
    return value
  }

  flag(key: string): boolean | undefined {
    const value = this.take(key)
    if (value !== undefined && !['true', 'false', '1', '0'].includes(value))
      throw usage(`cannot read mount ${JSON.stringify(this.text)}: ${key} is ${JSON.stringify(value)} and not true or false`)

    return value === undefined ? undefined : value === 'true' || value === '1'
  }

  left(): string | undefined {
    return this.#fields.keys().next().value
  }
}

interface Place {
  readonly target: string
  readonly source: string | undefined
  readonly cwd: string
}

/** Reads `--mount type=bind|volume|tmpfs|image,source=…,target=…[,readonly]…`. The fields are CSV: quotes allow commas. */
export function parseMount(text: string, cwd: string): MountOption {
  const fields = new Fields(text)
  const type = fields.take('type') ?? 'volume'
  const target = fields.take('target')
  if (target === undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: it has no target`)
  const place = { target: absolute(target, text), source: fields.take('source'), cwd }
  const mount = ofType(type, fields, place)
  const left = fields.left()
  if (left !== undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: a ${type} has no field ${JSON.stringify(left)}`)
  return mount
}

function ofType(type: string, fields: Fields, place: Place): MountOption {
  switch (type) {
    case 'bind':
      return bind(fields, place)
    case 'volume':
      return volume(fields, place)
    case 'tmpfs':
      return tmpfs(fields, place)
    case 'image':
      return image(fields, place)
    default:
      throw usage(`cannot use mount type ${JSON.stringify(type)}: it is none of bind, volume, tmpfs, image`)
  }
}

function readonly(fields: Fields): { readonly?: true } {
  const rw = fields.flag('rw')
  return (fields.flag('readonly') ?? rw === false) ? { readonly: true } : {}
}

function wishes(fields: Fields): MountWishes {
  const attributes = ['noexec', 'nosuid', 'nodev'].filter(isMountAttribute).filter((word) => fields.flag(word))
  return { ...(fields.flag('chown') && { own: true }), ...(attributes.length > 0 && { attributes }) }
}

function bind(fields: Fields, { source, target, cwd }: Place): BindMount {
  const { text } = fields
  if (source === undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: a bind needs a source`)
  const propagation = fields.take('bind-propagation')
  if (propagation !== undefined && !isPropagation(propagation))
    throw usage(`cannot read mount ${JSON.stringify(text)}: ${JSON.stringify(propagation)} is not a propagation`)

  const recursive = !fields.flag('bind-nonrecursive') && fields.take('bind-recursive') !== 'disabled'
  // What they ask for is so, or means something on a Mac and under SELinux only.
  for (const key of ['consistency', 'relabel']) fields.take(key)
  const common = { source: posix.resolve(cwd, source), target, ...readonly(fields), recursive, ...wishes(fields) }
  return { type: 'bind', ...common, ...(propagation && { propagation }) }
}

function volume(fields: Fields, { source, target }: Place): VolumeMount {
  if (source !== undefined && source !== '' && !isVolumeName(source))
    throw usage(`cannot use ${JSON.stringify(source)} as the name of a volume`)

  const subpath = fields.take('volume-subpath')
  return {
    type: 'volume',
    target,
    ...(source !== undefined && source !== '' && { name: source }),
    ...readonly(fields),
    ...wishes(fields),
    ...(fields.flag('volume-nocopy') && { nocopy: true }),
    ...(subpath !== undefined && { subpath: inside(subpath, fields.text) }),
  }
}

function tmpfs(fields: Fields, { source, target }: Place): TmpfsMount {
  const { text } = fields
  if (source !== undefined) throw usage(`cannot read mount ${JSON.stringify(text)}: a tmpfs has no source`)
  const size = fields.take('tmpfs-size')
  const mode = fields.take('tmpfs-mode')
  return {
    type: 'tmpfs',
    target,
    ...(size && { sizeBytes: parseBytes(size) }),
    ...(mode && { mode: octal(mode, text) }),
    ...(readonly(fields).readonly && { options: ['ro'] }),
  }
}

function image(fields: Fields, { source, target }: Place): ImageMount {
  const { text } = fields
  if (source === undefined || source === '') throw usage(`cannot read mount ${JSON.stringify(text)}: it names no image`)
  const subpath = fields.take('volume-subpath')
  const writable = fields.flag('rw') ?? fields.flag('readonly') === false
  return { type: 'image', image: source, target, readonly: !writable, ...(subpath !== undefined && { subpath: inside(subpath, text) }) }
}

/** A path that does not lead out. */
function inside(path: string, text: string): string {
  const clean = posix.normalize(path)
  if (path === '' || clean.startsWith('/') || clean === '..' || clean.startsWith('../'))
    throw usage(`cannot read mount ${JSON.stringify(text)}: the path ${JSON.stringify(path)} is not one inside of it`)

  return clean.replace(/\/$/, '')
}

function fieldsOf(text: string): string[] {
  try {
    return csvFields(text)
  } catch (error) {
    throw hasCode(error, 'usage') ? error.with({ message: `cannot read mount ${JSON.stringify(text)}: ${error.message}` }) : error
  }
}
