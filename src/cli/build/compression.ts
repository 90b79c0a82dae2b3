import type { BuildOptions } from '#builder/options.ts'
import { StaveError } from '#error.ts'

type Compression = NonNullable<BuildOptions['compression']>

/** The least and the highest level of each. */
const levels: Readonly<Record<Compression, readonly [number, number]>> = { gzip: [1, 12], zstd: [1, 19], none: [0, 0] }

/**
 * How layers are to be compressed, checked before anything is built.
 *
 * @throws StaveError `usage`
 */
export function buildCompression(
  kind: string | undefined,
  levelText: string | number | undefined,
  shown: string,
): Pick<BuildOptions, 'compression' | 'compressionLevel'> {
  const compression = kind === undefined ? undefined : kind === 'uncompressed' ? 'none' : kind
  if (compression !== undefined && !Object.hasOwn(levels, compression)) {
    throw new StaveError('usage', `${shown}: there is no compression ${compression}`, { hint: 'There are gzip, zstd and uncompressed.' })
  }
  const chosen = compression as Compression | undefined
  if (levelText === undefined || levelText === '') return chosen === undefined ? {} : { compression: chosen }
  const level = Number(levelText)
  const [least, most] = levels[chosen ?? 'gzip']
  if (!Number.isInteger(level) || level < least || level > most) {
    throw new StaveError('usage', `${shown}: there is no compression level ${levelText}`, {
      hint: chosen === 'none' ? 'Without compression there is none.' : `Those of ${chosen ?? 'gzip'} go from ${least} to ${most}.`,
    })
  }
  return { ...(chosen !== undefined && { compression: chosen }), ...(chosen !== 'none' && { compressionLevel: level }) }
}
