import { csvFields } from '#text/csv.ts'
import { readBytes } from '#text/size.ts'
import { asFault, fault } from './fault.ts'
import { parseBoolean, parseUnsigned } from './go-values.ts'
import { didYouMean } from '#text/suggest.ts'

/** One `RUN --mount`. A `target` is as written: a relative one is meant relative to WORKDIR, and the result must not be `/`. */
export type Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount

export interface BindMount {
  readonly type: 'bind'
  readonly target: string
  /** A path in `from`; '' for all of it. */
  readonly source: string
  /** A stage, a named context or an image; the build context if absent. */
  readonly from?: string
  /** If false, what is written is thrown away. */
  readonly readonly: boolean
}

export interface CacheMount {
  readonly type: 'cache'
  readonly target: string
  readonly id: string
  readonly from?: string
  readonly source: string
  readonly sharing: 'shared' | 'private' | 'locked'
  readonly readonly: boolean
  /** For the directory when it is made first. Default 0755 and 0:0. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}

export interface TmpfsMount {
  readonly type: 'tmpfs'
  readonly target: string
  readonly sizeBytes?: number
}

export interface SecretMount {
  readonly type: 'secret'
  readonly id: string
  /** Absent if it is given as a variable only. */
  readonly target?: string
  readonly env?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

export interface SshMount {
  readonly type: 'ssh'
  readonly id: string
  /** Absent: /run/buildkit/ssh_agent.N. */
  readonly target?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

const types = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
const sharings = ['shared', 'private', 'locked'] as const
type Type = (typeof types)[number]
type Sharing = (typeof sharings)[number]

const keys = [
  'type', 'from', 'source', 'src', 'target', 'dst', 'destination', 'readonly', 'ro', 'readwrite', 'rw',
  'id', 'sharing', 'required', 'size', 'mode', 'uid', 'gid', 'env',
] // prettier-ignore

/** The options of a mount of any type, as they are collected. */
interface Draft {
  type: Type
  from?: string
  source: string
  target: string
  readonly?: boolean
  sizeBytes?: number
  id: string
  sharing?: Sharing
  required: boolean
  mode?: number
  uid?: number
  gid?: number
  env?: string
}

/**
 * Reads the value of one `--mount`.
 *
 * @param expandValue expands the variables of one option's value
 * @throws StaveError `dockerfile`, without span
 */
export function parseMount(value: string, expandValue: (word: string) => string): Mount {
  const draft: Draft = { type: 'bind', source: '', target: '', id: '', required: false }
  for (const field of mountFields(value)) readOption(draft, field, expandValue)
  return finish(draft)
}

/**
 * Finds what is wrong with a mount before its variables are known: all of it where it has none.
 *
 * @throws StaveError `dockerfile`, without span
 */
export function checkMount(value: string): void {
  let isConstant = true
  for (const { key, value: text } of mountFields(value)) {
    if (text === undefined) continue
    if (key === 'from' && text.includes('$') && text.indexOf('$') !== text.length - 1) {
      throw fault(
        "'from' of a mount does not support variables",
        undefined,
        'Define a stage with FROM that uses the variable, and mount from that.',
      )
    }
    if (/[$'"\\`]/.test(text)) isConstant = false
  }
  if (isConstant) parseMount(value, (text) => text)
}

/** What a mount is taken from, whatever its variables say: the one option that has none. */
export function mountFrom(value: string): string | undefined {
  return mountFields(value).findLast(({ key, value: text }) => key === 'from' && text !== undefined && text !== '')?.value
}

function mountFields(value: string): { key: string; value: string | undefined; field: string }[] {
  return asFault(() => csvFields(value)).map((field) => {
    const equals = field.indexOf('=')
    if (equals < 0) return { key: field.toLowerCase(), value: undefined, field }
    return { key: field.slice(0, equals).toLowerCase(), value: field.slice(equals + 1), field }
  })
}

function readOption(
  draft: Draft,
  { key, value: text, field }: { key: string; value: string | undefined; field: string },
  expandValue: (word: string) => string,
): void {
  if (text === undefined) {
    if (key === 'readonly' || key === 'ro') draft.readonly = true
    else if (key === 'readwrite' || key === 'rw') draft.readonly = false
    else if (key === 'required') requireSecretOrSsh(draft, key).required = true
    else throw fault(`mount option ${JSON.stringify(field)} must be a key=value pair`, undefined, didYouMean(key, keys))
    return
  }
  const value = expandValue(text)
  switch (key) {
    case 'type':
      draft.type = choice(value, types, 'mount type')
      break
    case 'from':
      draft.from = value
      break
    case 'source':
    case 'src':
      draft.source = value
      break
    case 'target':
    case 'dst':
    case 'destination':
      draft.target = value
      break
    case 'readonly':
    case 'ro':
      draft.readonly = boolean(key, value)
      break
    case 'readwrite':
    case 'rw':
      draft.readonly = !boolean(key, value)
      break
    case 'required':
      requireSecretOrSsh(draft, key).required = boolean(key, value)
      break
    case 'size': {
      if (draft.type !== 'tmpfs') throw misplacedOption(key, draft.type)
      const size = readBytes(value)
      if (size === undefined) throw invalid(key, value, 'Write a number with a unit, such as 64m.')
      draft.sizeBytes = size
      break
    }
    case 'id':
      draft.id = value
      break
    case 'sharing':
      draft.sharing = choice(value, sharings, 'sharing value')
      break
    case 'mode':
      draft.mode = number(key, value, 8)
      break
    case 'uid':
      draft.uid = number(key, value, 10)
      break
    case 'gid':
      draft.gid = number(key, value, 10)
      break
    case 'env':
      draft.env = value
      break
    default:
      throw fault(`unexpected key ${JSON.stringify(key)} in mount option ${JSON.stringify(field)}`, undefined, didYouMean(key, keys))
  }
}

function finish(draft: Draft): Mount {
  const { type, source, id } = draft
  // Without a target it is the working directory, for the types that have a directory.
  const target = draft.target === '' && type !== 'secret' && type !== 'ssh' ? '.' : draft.target
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const)
      if (draft[key] !== undefined) throw fault(`${key} is not allowed for a mount of type ${type}`)
  }
  if (draft.sharing !== undefined && type !== 'cache') throw fault(`sharing is not allowed for a mount of type ${type}`)
  const from = draft.from === undefined || draft.from === '' ? {} : { from: draft.from }
  const owner = { mode: draft.mode ?? (type === 'secret' ? 0o400 : 0o600), uid: draft.uid ?? 0, gid: draft.gid ?? 0 }
  switch (type) {
    case 'bind':
      notRoot(target)
      return { type, target, source, ...from, readonly: draft.readonly ?? true }
    case 'cache':
      notRoot(target)
      return {
        type,
        target,
        id: id === '' ? cleanPath(target) : id,
        ...from,
        source,
        sharing: draft.sharing ?? 'shared',
        readonly: draft.readonly ?? false,
        ...(draft.mode !== undefined && { mode: draft.mode }),
        ...(draft.uid !== undefined && { uid: draft.uid }),
        ...(draft.gid !== undefined && { gid: draft.gid }),
      }
    case 'tmpfs':
      notRoot(target)
      return { type, target, ...(draft.sizeBytes !== undefined && { sizeBytes: draft.sizeBytes }) }
    case 'secret': {
      if (draft.from !== undefined && draft.from !== '') throw fault('a secret mount cannot have a from')
      if (source === '' && target === '' && id === '') throw fault('a secret mount needs an id or a target')
      if (source !== '' && id !== '')
        throw fault('a secret mount cannot have both id and source', undefined, 'They mean the same: remove one.')
      const name = id || source || baseName(target)
      const path = target !== '' ? target : draft.env === undefined ? `/run/secrets/${baseName(name)}` : undefined
      return {
        type,
        id: name,
        ...(path !== undefined && { target: path }),
        ...(draft.env !== undefined && { env: draft.env === '' ? name : draft.env }),
        required: draft.required,
        ...owner,
      }
    }
    case 'ssh':
      return { type, id: id === '' ? 'default' : id, ...(target === '' ? {} : { target }), required: draft.required, ...owner }
    default:
      return type satisfies never
  }
}

function notRoot(target: string): void {
  if (target.startsWith('/') && cleanPath(target) === '/')
    throw fault(`invalid mount target ${JSON.stringify(target)}`, undefined, 'The root itself cannot be mounted over.')
}

function requireSecretOrSsh(draft: Draft, key: string): Draft {
  if (draft.type !== 'secret' && draft.type !== 'ssh') throw misplacedOption(key, draft.type)
  return draft
}

function misplacedOption(key: string, type: Type): Error {
  const hint = type === 'bind' ? 'The type must stand before it, and is bind by default.' : undefined
  return fault(`unexpected key ${JSON.stringify(key)} for a mount of type ${type}`, undefined, hint)
}

function invalid(key: string, value: string, hint?: string): Error {
  return fault(`invalid value ${JSON.stringify(value)} for mount option ${key}`, undefined, hint)
}

function boolean(key: string, value: string): boolean {
  const result = parseBoolean(value)
  if (result === undefined) throw invalid(key, value, 'Write true or false.')
  return result
}

function number(key: string, value: string, base: 8 | 10): number {
  const result = parseUnsigned(value, base)
  if (result === undefined) throw invalid(key, value, base === 8 ? 'Write an octal number, such as 0755.' : 'Write a number.')
  return result
}

function choice<T extends string>(value: string, allowed: readonly T[], what: string): T {
  const found = allowed.find((each) => each === value.toLowerCase())
  if (found === undefined) {
    throw fault(
      `unsupported ${what} ${JSON.stringify(value)}`,
      undefined,
      didYouMean(value, allowed, true) ?? `It is one of ${allowed.join(', ')}.`,
    )
  }
  return found
}

/** As Go's `path.Clean`. */
export function cleanPath(path: string): string {
  const isAbsolute = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (!isAbsolute) parts.push('..')
  }
  return (isAbsolute ? '/' : '') + parts.join('/') || '.'
}

function baseName(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1) || (path === '' ? '.' : '/')
}

/** One `RUN --device`: a CDI device. */
export interface Device {
  readonly name: string
  readonly required: boolean
}

/** Reads the value of one `--device`: `vendor/class=name`, `name=…`, `required`. */
export function parseDevice(value: string): Device {
  let name = ''
  let required = false
  for (const field of asFault(() => csvFields(value))) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const text = equals < 0 ? undefined : field.slice(equals + 1)
    if (key === 'required') required = text === undefined ? true : boolean(key, text)
    else if (key === 'name' && text !== undefined) {
      if (name !== '') throw fault(`the device name is already set to ${name}`)
      name = text
    } else if (name === '') name = field
    else throw fault(`unexpected ${JSON.stringify(field)} in a device`, undefined, didYouMean(key, ['name', 'required']))
  }
  return { name, required }
}

/** @throws StaveError `dockerfile`, without span, where the value of a `--device` is wrong */
export function checkDevice(value: string): void {
  parseDevice(value)
}
