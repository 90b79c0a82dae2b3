import type { BuildOptions } from '#builder/options.ts'
import { readCompression, readCompressionLevel } from '#image/compression.ts'

/**
 * How layers are to be compressed, checked before anything is built.
 *
 * @throws StaveError `usage`
 */
export function buildCompression(
  kind: string | undefined,
  level: string | number | undefined,
  shown: string,
): Pick<BuildOptions, 'compression' | 'compressionLevel'> {
  const chosen = kind === undefined ? {} : { compression: readCompression(kind, shown) }
  if (level === undefined || level === '') return chosen
  const compressionLevel = readCompressionLevel(level, chosen.compression ?? 'gzip', shown)
  return chosen.compression === 'none' ? chosen : { ...chosen, compressionLevel }
}
