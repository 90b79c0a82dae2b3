import { StaveError } from '#error.ts'
import { readCompressionLevel } from '#image/compression.ts'
import type { RecompressOptions } from '#image/recompress.ts'
import { spoolDirectory } from '../places.ts'
import type { Settings } from '../settings.ts'

/** What flags say about how layers are to be compressed, by whatever names. */
export interface CompressionFlags {
  /** What is not compressed. */
  readonly compress?: boolean | undefined
  readonly decompress?: boolean | undefined
  /** Everything, so. */
  readonly format?: string | undefined
  readonly level?: number | undefined
}

/** @returns undefined: they stay as they are. @throws StaveError `usage` */
export function chosenCompression(settings: Settings, flags: CompressionFlags): RecompressOptions | undefined {
  const { compress, decompress, format, level } = flags
  if (decompress) {
    if (compress || format !== undefined) throw new StaveError('usage', 'layers cannot be both compressed and decompressed')
    return { compression: 'none', temporary: spoolDirectory(settings) }
  }
  if (format === undefined && !compress) {
    if (level !== undefined) throw new StaveError('usage', 'a level of compression needs a format too', { hint: 'Name gzip or zstd.' })
    return undefined
  }
  const compression = format === 'zstd' ? 'zstd' : 'gzip'
  return {
    compression,
    onlyPlain: format === undefined,
    temporary: spoolDirectory(settings),
    ...(level !== undefined && { level: readCompressionLevel(level, compression, `compression ${compression}`) }),
  }
}
