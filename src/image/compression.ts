import { StaveError } from '#error.ts'
import type { Compression } from '#oci/media-type.ts'

/** The least and the highest level of each, as BuildKit documents them; 0 is gzip's "only wrapped" and zstd's own default. */
const levels: Readonly<Record<Compression, readonly [number, number]>> = { gzip: [0, 9], zstd: [0, 22], none: [0, 0] }

/** Reads `gzip`, `zstd`, `none` and Docker's `uncompressed`. @throws StaveError `usage`, in the name of what was typed (`shown`) */
export function readCompression(text: string, shown: string): Compression {
  const name = text === 'uncompressed' ? 'none' : text
  if (Object.hasOwn(levels, name)) return name as Compression
  throw new StaveError('usage', `${shown}: there is no compression ${text}`, { hint: 'There are gzip, zstd and uncompressed.' })
}

/** Reads how hard layers are to be packed; the same levels whoever packs them. @throws StaveError `usage` */
export function readCompressionLevel(text: string | number, compression: Compression, shown: string): number {
  const level = text === '' ? Number.NaN : Number(text)
  const [least, most] = levels[compression]
  if (Number.isInteger(level) && level >= least && level <= most) return level
  throw new StaveError('usage', `${shown}: there is no compression level ${text}`, {
    hint: compression === 'none' ? 'Without compression there is none.' : `Those of ${compression} go from ${least} to ${most}.`,
  })
}
