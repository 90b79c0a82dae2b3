import { StaveError } from '#error.ts'
import type { Descriptor, Platform } from './descriptor.ts'

const operatingSystems = new Set([
  'aix',
  'android',
  'darwin',
  'dragonfly',
  'freebsd',
  'illumos',
  'ios',
  'js',
  'linux',
  'netbsd',
  'openbsd',
  'plan9',
  'solaris',
  'wasip1',
  'windows',
])

const architectures = new Set([
  '386',
  'amd64',
  'arm',
  'arm64',
  'loong64',
  'mips',
  'mipsle',
  'mips64',
  'mips64le',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
  'wasm',
])

/** What other tools, kernels and Node call an architecture. */
const aliases: Readonly<Record<string, { readonly architecture: string; readonly variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  x64: { architecture: 'amd64' },
  i386: { architecture: '386' },
  i486: { architecture: '386' },
  i586: { architecture: '386' },
  i686: { architecture: '386' },
  ia32: { architecture: '386' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armv7l: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  armv6l: { architecture: 'arm', variant: 'v6' },
  mipsel: { architecture: 'mipsle' },
  loongarch64: { architecture: 'loong64' },
}

/**
 * The platform in its one spelling, as containerd has it: Go's names, `arm` with a variant (`v7` unless said), and the
 * variants that every `arm64` (`v8`) and `amd64` (`v1`) has left out.
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = normalizeOs(platform.os)
  const lower = platform.architecture.toLowerCase()
  const alias = Object.hasOwn(aliases, lower) ? aliases[lower] : undefined
  const architecture = alias?.architecture ?? lower
  const variant = normalizeVariant(architecture, platform.variant?.toLowerCase() || alias?.variant)
  return {
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(platform['os.version'] && { 'os.version': platform['os.version'] }),
    ...(platform['os.features']?.length && { 'os.features': platform['os.features'] }),
  }
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase()
  return lower === 'macos' ? 'darwin' : lower
}

function normalizeVariant(architecture: string, variant: string | undefined): string | undefined {
  const full = variant !== undefined && /^[0-9]/.test(variant) ? `v${variant}` : variant
  if (architecture === 'arm') return full ?? 'v7'
  if (architecture === 'arm64' && full === 'v8') return undefined
  if (architecture === 'amd64' && full === 'v1') return undefined
  return full
}

/**
 * Reads `os/architecture[/variant]`, with `os(version)` where Windows needs it. One word alone is a known operating
 * system or a known architecture; the rest is the host's (Linux, if no host is given).
 *
 * @throws StaveError `usage`
 */
export function parsePlatform(text: string, host: Platform = { os: 'linux', architecture: 'amd64' }): Platform {
  const parts = text.trim().split('/')
  if (parts.length > 3 || !parts.every((part, position) => (position === 0 ? /^[\w.-]+(?:\([\w.+-]*\))?$/ : /^[\w.-]+$/).test(part))) {
    throw new StaveError('usage', `cannot use ${JSON.stringify(text)} as a platform`, {
      hint: 'A platform is written linux/amd64 or linux/arm/v7.',
    })
  }
  const [first = '', architecture, variant] = parts
  const { os, version } = splitVersion(first)
  if (architecture !== undefined)
    return normalizePlatform({ os, architecture, ...(variant !== undefined && { variant }), ...(version && { 'os.version': version }) })
  if (operatingSystems.has(normalizeOs(os))) return normalizePlatform({ ...host, os, ...(version && { 'os.version': version }) })
  const alone = normalizePlatform({ os: host.os, architecture: os })
  if (architectures.has(alone.architecture)) return alone
  throw new StaveError('usage', `cannot use ${JSON.stringify(text)} as a platform: it is neither an operating system nor an architecture`, {
    hint: 'A platform is written linux/amd64 or linux/arm/v7.',
  })
}

function splitVersion(text: string): { os: string; version: string | undefined } {
  const open = text.indexOf('(')
  return open < 0 ? { os: text, version: undefined } : { os: text.slice(0, open), version: text.slice(open + 1, -1) }
}

/** `linux/arm/v7`, normalised. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant, 'os.version': version } = normalizePlatform(platform)
  return `${os}${version === undefined ? '' : `(${version})`}/${architecture}${variant === undefined ? '' : `/${variant}`}`
}

/** The platform that `uname -m` or Node's `process.arch` names. */
export function hostPlatform(architecture: string, os = 'linux'): Platform {
  return normalizePlatform({ os, architecture })
}

/** Does content for `have` run where `wanted` does? Older variants of the same architecture do. */
export function matchPlatform(wanted: Platform, have: Platform): boolean {
  return distance(normalizePlatform(wanted), normalizePlatform(have)) !== undefined
}

/**
 * May `have` be what was meant by a platform without a variant? An image for amd64 may be there for a later level only
 * (v2 to v4). Whether the processor has what that needs is seen where something of it is run.
 */
export function isLaterLevel(wanted: Platform, have: Platform): boolean {
  const [one, other] = [normalizePlatform(wanted), normalizePlatform(have)]
  if (one.architecture !== 'amd64' || one.variant !== undefined || other.variant === undefined || level(other) === undefined) return false
  return distance({ ...one, variant: other.variant }, other) === 0
}

/**
 * Of the entries of an index, the one that fits a platform best: the same variant first, then the next older one, and if
 * there is none the first of a later level. Among equals the first. What has no platform, or is no image
 * (`unknown/unknown`: attestations), is never chosen.
 */
export function selectPlatform(wanted: Platform, entries: readonly Descriptor[]): Descriptor | undefined {
  const normalized = normalizePlatform(wanted)
  let best: { descriptor: Descriptor; distance: number } | undefined
  for (const descriptor of entries) {
    if (descriptor.platform === undefined) continue
    const far = distance(normalized, normalizePlatform(descriptor.platform))
    if (far !== undefined && (best === undefined || far < best.distance)) best = { descriptor, distance: far }
  }
  return best?.descriptor ?? lowestLater(wanted, entries)
}

function lowestLater(wanted: Platform, entries: readonly Descriptor[]): Descriptor | undefined {
  const later = entries.filter(({ platform }) => platform !== undefined && isLaterLevel(wanted, platform))
  const levels = later.map(({ platform }) => level(platform as Platform) as number)
  return later[levels.indexOf(Math.min(...levels))]
}

/** The newest variant that is wanted; 0 is a perfect fit. Both are normalised. */
function distance(wanted: Platform, have: Platform): number | undefined {
  if (wanted.os !== have.os || wanted.architecture !== have.architecture || have.os === 'unknown' || have.os === '') return undefined
  if (!versionFits(wanted, have)) return undefined
  const features = new Set(have['os.features'])
  if (!(wanted['os.features'] ?? []).every((feature) => features.has(feature))) return undefined
  if (wanted.variant === have.variant) return 0
  const [wantedLevel, haveLevel] = [level(wanted), level(have)]
  if (wantedLevel === undefined || haveLevel === undefined || haveLevel > wantedLevel) return undefined
  return wantedLevel - haveLevel
}

/** Windows runs images of its own build only; the fourth number is the patch level. */
function versionFits(wanted: Platform, have: Platform): boolean {
  const [a, b] = [wanted['os.version'], have['os.version']]
  if (a === undefined || b === undefined || wanted.os !== 'windows') return true
  const build = (version: string): string => version.split('.', 3).join('.')
  return build(a) === build(b)
}

/** Variants of these architectures are ordered: each runs what its predecessors do. `v9.2` lies between `v9` and `v10`. */
function level(platform: Platform): number | undefined {
  const lowest = { arm64: 8, amd64: 1 }[platform.architecture]
  if (platform.variant === undefined) return lowest
  if (platform.architecture !== 'arm' && lowest === undefined) return undefined
  const match = /^v(\d{1,4})(?:\.(\d{1,4}))?$/.exec(platform.variant)
  return match === null ? undefined : Number(match[1]) + Number(match[2] ?? 0) / 10_000
}
