import { StaveError } from '#error.ts'

export interface Device {
  /** On the host. */
  readonly path: string
  readonly target: string
  /** Of `r`, `w`, `m`. */
  readonly access: string
}

/** Reads `/dev/x`, `/dev/x:/dev/y`, `/dev/x:/dev/y:rw`, `/dev/x:r`. */
export function parseDevice(text: string): Device {
  const parts = text.split(':')
  const path = parts[0] ?? ''
  const last = parts.length > 1 ? parts.at(-1)! : ''
  const hasAccess = parts.length === 3 || (parts.length === 2 && /^[rwm]+$/.test(last))
  const access = hasAccess ? last : 'rwm'
  const target = parts.length === 3 || (parts.length === 2 && !hasAccess) ? parts[1]! : path
  if (parts.length > 3 || !path.startsWith('/') || !/^\/dev\/./.test(target) || !/^[rwm]+$/.test(access))
    throw new StaveError('usage', `cannot read device ${JSON.stringify(text)}: expected /dev/HOST[:/dev/CONTAINER][:rwm]`)
  return { path, target, access }
}
