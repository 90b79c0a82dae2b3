import { StaveError } from '#error.ts'
import type { Platform } from '#oci/descriptor.ts'

type Processor = Pick<Platform, 'architecture' | 'variant'>

/** What each level of amd64 has that the one before it has not, as Linux names it. @see psABI for x86-64, "Micro-Architecture Levels" */
const features: readonly (readonly [variant: string, flags: readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2']],
  ['v3', ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave']],
  ['v4', ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl']],
]

/**
 * What a program for this platform may use and the processor lacks: an illegal instruction would end it. Nothing for what
 * is no variant of amd64, since other architectures name no features by theirs.
 *
 * @param cpuinfo `/proc/cpuinfo`
 */
export function missingFeatures({ architecture, variant }: Processor, cpuinfo: string): readonly string[] {
  const last = architecture === 'amd64' ? features.findIndex(([name]) => name === variant) : -1
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]
  // Not a processor of this kind: it is emulated, or the kernel does not say.
  if (last < 0 || flags === undefined) return []
  const there = new Set(flags.trim().split(/\s+/))
  return features.slice(0, last + 1).flatMap(([, wanted]) => wanted.filter((flag) => !there.has(flag)))
}

/**
 * @param what that is for the platform: an image's name
 * @param cpuinfo reads it; hardly any image says a variant
 * @throws StaveError `isolation` if the processor lacks something
 */
export function checkProcessor(what: string, { architecture, variant }: Processor, cpuinfo: () => string): void {
  if (architecture !== 'amd64' || variant === undefined) return
  const missing = missingFeatures({ architecture, variant }, cpuinfo())
  if (missing.length === 0) return
  throw new StaveError(
    'isolation',
    `cannot run ${what}: it is for ${architecture}/${variant}, and this processor lacks ${missing.join(', ')}`,
    {
      hint: 'Use an image for linux/amd64 without a variant, or another machine.',
    },
  )
}
