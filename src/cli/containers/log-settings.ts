import { resolve } from 'node:path'
import type { LogSettings } from '#container/record.ts'
import { StaveError } from '#error.ts'
import { parseBytes } from '#text/size.ts'
import type { Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import type { logFlags } from './log-flags.ts'
import type { Settings } from '../settings.ts'

/** podman's rule for one file: it begins anew when it is full. */
const usualFiles = 1
/** The names of those that are put aside are kept short. */
const mostFiles = 1000

/** How a container's log is kept; `false`: not at all. @throws StaveError `usage` */
export function logSettings(flags: Values<typeof logFlags>, settings: Settings): LogSettings | false {
  const words = keyValues(flags['log-opt'], '--log-opt')
  const { 'max-size': size, 'max-file': files, path, tag, ...others } = words
  // What they ask for is so: nothing waits for the log, and nothing is in it but what was written.
  const unknown = Object.keys(others).find((key) => !['mode', 'compress', 'labels', 'env', 'max-buffer-size'].includes(key))
  if (unknown !== undefined)
    throw new StaveError('usage', `--log-opt ${unknown}: there is no such option`, { hint: 'There are max-size, max-file, path and tag.' })

  if (flags['log-driver'] === 'none' || flags['log-driver'] === 'passthrough') return false
  const count = files === undefined ? undefined : Number(files)
  if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= mostFiles))
    throw new StaveError('usage', `--log-opt max-file takes 1 to ${mostFiles}, not ${files}`)
  const bytes = size === undefined || size === '-1' ? 0 : parseBytes(size, '--log-opt max-size')
  return {
    ...(flags['log-driver'] === 'k8s-file' && { format: 'k8s-file' as const }),
    ...(bytes > 0 && { maxBytes: bytes, maxFiles: count ?? usualFiles }),
    ...(path !== undefined && path !== '' && { path: resolve(settings.cwd, path) }),
    ...(tag !== undefined && { tag }),
  }
}
