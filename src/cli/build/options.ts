import { resolve } from 'node:path'
import type { Annotation, BuildOptions } from '#builder/options.ts'
import { parseBytes } from '#text/size.ts'
import { parseUlimit } from '#sandbox/ulimit.ts'
import { parseDuration } from '#text/duration.ts'
import { StaveError } from '#error.ts'
import { formatPlatform, parsePlatform } from '#oci/platform.ts'
import { attributes, booleanOf, refuseUnknown } from '../attributes.ts'
import { buildContextsOf, cacheBackend, secretOf } from './inputs.ts'
import { outputsOf } from './outputs.ts'
import { sandboxOf } from './sandbox.ts'
import type { Values } from '../command.ts'
import { buildCompression } from './compression.ts'
import { hostOf } from '../containers/options.ts'
import { environmentWords, keyValues, readEnvFile } from '../key-values.ts'
import { findRuntime } from '../oci-runtime.ts'
import type { Settings } from '../settings.ts'
import type { buildFlags } from './flags.ts'

type BuildFlags = Values<typeof buildFlags>

/** What the flags of `build` mean, places and streams apart. @throws StaveError `usage` */
export function buildOptions(flags: BuildFlags, context: string, settings: Settings): Omit<BuildOptions, 'store' | 'places'> {
  const attest = attestations(flags)
  const { annotations, ...output } = outputsOf(flags, settings)
  const epoch = flags['source-date-epoch'] ?? settings.env['SOURCE_DATE_EPOCH']
  return {
    context,
    cwd: settings.cwd,
    ...(flags.file !== undefined && { file: flags.file }),
    ...(flags['mode-policy'] !== undefined && { modePolicy: flags['mode-policy'] as 'keep' | 'git' }),
    ...(flags.ignorefile !== undefined && { ignoreFile: flags.ignorefile }),
    ...(flags.from !== undefined && { from: flags.from }),
    tags: flags.tag,
    ...(flags.target !== undefined && { target: flags.target }),
    buildArgs: buildArguments(flags, settings),
    proxy: flags['http-proxy'] === false ? {} : proxyOf(settings),
    ...authoritiesOf(settings),
    ...platformsOf(flags),
    labels: keyValues(flags.label, '--label'),
    annotations: [...annotations, ...flags.annotation.flatMap(annotationOf)],
    ...resultOf(flags, settings),
    buildContexts: buildContextsOf(flags['build-context']),
    noCache: (flags['no-cache'] ?? false) || flags.layers === false,
    noCacheFilter: flags['no-cache-filter'].flatMap((text) => text.split(',')),
    ...cacheAge(flags['cache-ttl']),
    ...pullPolicy(flags),
    cacheFrom: flags['cache-from'].map((text) => cacheBackend(text, settings, 'from')),
    cacheTo: flags['cache-to'].map((text) => cacheBackend(text, settings, 'to')),
    secrets: flags.secret.map((text) => secretOf(text, settings)),
    addHosts: flags['add-host'].map(hostOf),
    network: flags.network === 'none' ? 'none' : 'host',
    allow: flags.allow as NonNullable<BuildOptions['allow']>,
    ...(flags['shm-size'] !== undefined && { shmBytes: parseBytes(flags['shm-size'], '--shm-size') }),
    ulimits: flags.ulimit.map((text) => parseUlimit(text)),
    ...sandboxOf(flags, settings),
    ...runtimeOf(flags.runtime, settings),
    ...output,
    ...(flags.format !== undefined && { format: flags.format as 'oci' | 'docker' }),
    ...buildCompression(flags.compression ?? output.compression, flags['compression-level'], '--compression'),
    ...squashOf(flags),
    ...(epoch !== undefined && epoch !== '' && { epoch }),
    ...attest,
    ...jobsOf(flags.jobs),
    explain: flags.explain ?? false,
    ...(flags.print !== undefined && { print: flags.print as NonNullable<BuildOptions['print']> }),
    ...(flags.until !== undefined && { until: flags.until }),
  }
}

function runtimeOf(text: string | undefined, settings: Settings): Pick<BuildOptions, 'runtime'> {
  const runtime = findRuntime(text, settings)
  return runtime === undefined ? {} : { runtime }
}

function buildArguments(flags: BuildFlags, settings: Settings): Record<string, string> {
  const words = [...flags['build-arg-file'].flatMap((file) => readEnvFile(file, settings)), ...flags['build-arg']]
  const given = words.flatMap((word) => {
    if (word.includes('=')) return [word]
    const value = settings.env[word]
    return value === undefined ? [] : [`${word}=${value}`]
  })
  return keyValues(given, '--build-arg')
}

/** Git's own variable, then the one that Go and OpenSSL know. */
function authoritiesOf(settings: Settings): Pick<BuildOptions, 'authorities'> {
  const file = settings.env['GIT_SSL_CAINFO'] || settings.env['SSL_CERT_FILE']
  return file ? { authorities: resolve(settings.cwd, file) } : {}
}

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY']

function proxyOf(settings: Settings): Record<string, string> {
  const names = proxyNames.flatMap((name) => [name, name.toLowerCase()])
  return Object.fromEntries(names.flatMap((name) => (settings.env[name] ? [[name, settings.env[name]]] : [])))
}

/** `--platform`, or its parts as buildah has them. */
function platformsOf(flags: BuildFlags): Pick<BuildOptions, 'platforms'> {
  const { arch, os, variant } = flags
  if (flags.platform.length > 0) {
    if ((arch ?? os ?? variant) !== undefined)
      throw new StaveError('usage', 'stave build: --platform says what --arch, --os and --variant say')
    return { platforms: flags.platform.flatMap((text) => text.split(',')) }
  }
  if ((arch ?? os ?? variant) === undefined) return {}
  if (variant !== undefined && arch === undefined) throw new StaveError('usage', 'stave build: --variant needs --arch')
  return { platforms: [[os ?? 'linux', arch ?? process.arch, ...(variant === undefined ? [] : [variant])].join('/')] }
}

/** What of the image's config is said by flags. */
function resultOf(flags: BuildFlags, settings: Settings): Pick<BuildOptions, 'env' | 'without'> {
  const env = Object.entries(keyValues(environmentWords(flags.env, settings), '--env'))
  const without = {
    ...(flags.unsetenv.length > 0 && { env: flags.unsetenv }),
    ...(flags.unsetlabel.length > 0 && { labels: flags.unsetlabel }),
    ...(flags['omit-history'] && { history: true }),
  }
  return { ...(env.length > 0 && { env }), ...(Object.keys(without).length > 0 && { without }) }
}

function cacheAge(text: string | undefined): Pick<BuildOptions, 'cacheSince'> {
  return text === undefined ? {} : { cacheSince: Date.now() - parseDuration(text) / 1e6 }
}

/** One layer for what the build adds is also what `--layers=false` is for. */
function squashOf(flags: BuildFlags): Pick<BuildOptions, 'squash'> {
  if (flags.squash === undefined || flags.squash === 'false') return flags.layers === false ? { squash: 'new' } : {}
  return { squash: flags.squash === 'all' ? 'all' : 'new' }
}

function jobsOf(jobs: number | undefined): Pick<BuildOptions, 'jobs'> {
  if (jobs === undefined || jobs === 0) return {}
  if (!Number.isInteger(jobs) || jobs < 0) throw new StaveError('usage', `stave build: --jobs takes a number of steps, not ${jobs}`)
  return { jobs }
}

function pullPolicy(flags: BuildFlags): Pick<BuildOptions, 'pull'> {
  const text = flags['pull-always'] ? 'always' : flags['pull-never'] ? 'never' : flags.pull
  if (text === undefined) return {}
  if (text === 'true') return { pull: 'always' }
  return { pull: text === 'false' ? 'missing' : (text as NonNullable<BuildOptions['pull']>) }
}

const levels = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor']

function annotationOf(text: string): Annotation[] {
  const match = /^((?:[a-z-]+(?:\[[^\]]*\])?,?)+):(.*)$/s.exec(text)
  const [key = '', value] = (match?.[2] ?? text).split(/=(.*)/s)
  if (key === '' || value === undefined) throw new StaveError('usage', `--annotation takes [LEVEL:]K=V, not ${JSON.stringify(text)}`)
  return (match?.[1] ?? 'manifest').split(',').map((part) => {
    const [, level = '', platform] = /^([a-z-]+)(?:\[([^\]]*)\])?$/.exec(part) ?? []
    if (!levels.includes(level)) {
      throw new StaveError('usage', `--annotation ${text}: there is no level ${JSON.stringify(part)}`, {
        hint: `There are ${levels.join(', ')}, each with [PLATFORM].`,
      })
    }
    return {
      level: level as Annotation['level'],
      key,
      value,
      ...(platform !== undefined && platform !== '' && { platform: formatPlatform(parsePlatform(platform)) }),
    }
  })
}

function attestations(flags: BuildFlags): Pick<BuildOptions, 'provenance' | 'sbom' | 'attestStorage'> {
  let provenance = flags.provenance === undefined ? undefined : provenanceOf(flags.provenance, `--provenance=${flags.provenance}`)
  let sbom = flags.sbom === undefined ? undefined : sbomOf(flags.sbom)
  for (const text of flags.attest) {
    const shown = `--attest ${text}`
    const given = attributes(text, '--attest')
    const isOff = booleanOf(given, 'disabled', shown) === true
    if (given['type'] === 'provenance') {
      refuseUnknown(given, ['type', 'disabled', ...provenanceKeys], shown)
      provenance = isOff ? false : provenanceOf(given['mode'] ?? 'min', shown)
    } else if (given['type'] === 'sbom') {
      refuseUnknown(given, ['type', 'disabled'], shown)
      sbom = !isOff
    } else throw new StaveError('usage', `${shown} is not understood`, { hint: 'There are type=provenance[,mode=max] and type=sbom.' })
  }
  const storage = flags['attest-storage']
  return {
    ...(provenance !== undefined && { provenance }),
    ...(sbom !== undefined && { sbom }),
    ...(storage !== undefined && { attestStorage: storage as 'index' | 'referrers' }),
  }
}

const provenanceKeys = ['mode', 'version']

/** `min`, `max`, `true`, `false`, `mode=max[,version=v1]`. */
function provenanceOf(text: string, shown: string): 'min' | 'max' | false {
  let mode = text
  if (text.includes('=')) {
    const given = attributes(text, shown)
    refuseUnknown(given, provenanceKeys, shown)
    if ((given['version'] ?? 'v1') !== 'v1') throw new StaveError('unsupported', `${shown}: provenance is written as SLSA v1 only`)
    mode = given['mode'] ?? 'min'
  }
  if (mode === 'false') return false
  if (mode === 'max') return 'max'
  if (mode === 'min' || mode === 'true') return 'min'
  throw new StaveError('usage', `${shown}: there is no mode ${mode}`, { hint: 'There are min, max and false.' })
}

function sbomOf(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw new StaveError('usage', `--sbom takes true or false, not ${JSON.stringify(text)}`, {
    hint: 'There is no generator to choose: what the package managers have written down in the image is read.',
  })
}
