import { resolve } from 'node:path'
import type { Annotation, BuildOptions, CacheBackend, Output, SecretSource, SshSource } from '#build/options.ts'
import { parseBytes, parseUlimit } from '#container/unit.ts'
import { csvFields } from '#dockerfile/csv.ts'
import { StaveError } from '#error.ts'
import type { Values } from './command.ts'
import { hostOf } from './container-options.ts'
import { keyValues, readEnvFile } from './key-values.ts'
import type { Settings } from './settings.ts'
import type { buildFlags } from './table/build-flags.ts'

type BuildFlags = Values<typeof buildFlags>

/** What the flags of `build` mean, places and streams apart. @throws StaveError `usage` */
export function buildOptions(flags: BuildFlags, context: string, settings: Settings): Omit<BuildOptions, 'store' | 'places'> {
  const attest = attestations(flags)
  const epoch = epochOf(flags['source-date-epoch'] ?? settings.env['SOURCE_DATE_EPOCH'])
  return {
    context,
    cwd: settings.cwd,
    ...(flags.file !== undefined && { file: flags.file }),
    tags: flags.tag,
    ...(flags.target !== undefined && { target: flags.target }),
    buildArgs: buildArguments(flags, settings),
    proxy: proxyOf(settings),
    ...(flags.platform.length > 0 && { platforms: flags.platform.flatMap((text) => text.split(',')) }),
    labels: keyValues(flags.label, '--label'),
    annotations: flags.annotation.flatMap(annotationOf),
    buildContexts: keyValues(flags['build-context'], '--build-context'),
    noCache: flags['no-cache'] ?? false,
    noCacheFilter: flags['no-cache-filter'].flatMap((text) => text.split(',')),
    ...(flags.pull !== undefined && { pull: pullPolicy(flags.pull) }),
    cacheFrom: flags['cache-from'].map((text) => cacheBackend(text, settings, 'from')),
    cacheTo: flags['cache-to'].map((text) => cacheBackend(text, settings, 'to')),
    secrets: flags.secret.map((text) => secretOf(text, settings)).filter((secret) => secret !== undefined),
    ssh: flags.ssh.flatMap((text) => sshOf(text, settings)),
    addHosts: flags['add-host'].map(hostOf),
    network: flags.network === 'none' ? 'none' : 'host',
    allow: flags.allow as NonNullable<BuildOptions['allow']>,
    ...(flags['shm-size'] !== undefined && { shmBytes: parseBytes(flags['shm-size'], '--shm-size') }),
    ulimits: flags.ulimit.map((text) => parseUlimit(text)),
    ...(flags.memory !== undefined && { memoryBytes: parseBytes(flags.memory, '--memory') }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...outputsOf(flags, settings),
    ...(flags.format !== undefined && { format: flags.format as 'oci' | 'docker' }),
    ...(flags.compression !== undefined && {
      compression: flags.compression === 'uncompressed' ? 'none' : (flags.compression as 'gzip' | 'zstd' | 'none'),
    }),
    ...(flags['compression-level'] !== undefined && { compressionLevel: flags['compression-level'] }),
    ...(flags.squash !== undefined && flags.squash !== 'false' && { squash: flags.squash === 'all' ? 'all' : 'new' }),
    ...(epoch !== undefined && { epoch }),
    ...attest,
    ...(flags.jobs !== undefined && flags.jobs > 0 && { jobs: flags.jobs }),
    explain: flags.explain ?? false,
    ...(flags.print !== undefined && { print: flags.print as NonNullable<BuildOptions['print']> }),
    ...(flags.until !== undefined && { until: flags.until }),
  }
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

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY']

function proxyOf(settings: Settings): Record<string, string> {
  const names = proxyNames.flatMap((name) => [name, name.toLowerCase()])
  return Object.fromEntries(names.flatMap((name) => (settings.env[name] ? [[name, settings.env[name]]] : [])))
}

function pullPolicy(text: string): NonNullable<BuildOptions['pull']> {
  if (text === 'true') return 'always'
  return text === 'false' ? 'missing' : (text as NonNullable<BuildOptions['pull']>)
}

function epochOf(text: string | undefined): number | 'context' | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'context') return text
  if (!/^\d{1,12}$/.test(text)) {
    throw new StaveError(
      'usage',
      `cannot use SOURCE_DATE_EPOCH ${JSON.stringify(text)}: it is neither a number of seconds since 1970 nor "context"`,
    )
  }
  return Number(text)
}

/** `type=…,key=value,…` as buildx writes it: CSV, keys in any case. */
function attributes(text: string, flag: string): Record<string, string> {
  return keyValues(
    csvFields(text).map((field) => field.trim()),
    flag,
  )
}

function annotationOf(text: string): Annotation[] {
  const match = /^((?:(?:index|manifest|index-descriptor|manifest-descriptor)(?:\[[^\]]*\])?,?)+):(.*)$/s.exec(text)
  const [key = '', value] = (match?.[2] ?? text).split(/=(.*)/s)
  if (key === '' || value === undefined) throw new StaveError('usage', `--annotation takes [LEVEL:]K=V, not ${JSON.stringify(text)}`)
  return (match?.[1] ?? 'manifest').split(',').map((level) => {
    const [, name = 'manifest', platform] = /^([a-z-]+)(?:\[([^\]]*)\])?$/.exec(level) ?? []
    return { level: name as Annotation['level'], key, value, ...(platform !== undefined && platform !== '' && { platform }) }
  })
}

function cacheBackend(text: string, settings: Settings, side: 'from' | 'to'): CacheBackend {
  if (!/(^|,)type=/.test(text)) return { type: 'registry', ref: text, mode: 'max' }
  const { type = '', ...rest } = attributes(text, `--cache-${side}`)
  const mode: { mode?: 'min' | 'max'; mounts?: boolean } = {
    ...((rest['mode'] === 'max' || rest['mode'] === 'min') && { mode: rest['mode'] }),
    ...(rest['mounts'] === 'true' && { mounts: true }),
  }
  if (type === 'registry' && rest['ref']) return { type, ref: rest['ref'], ...mode }
  const path = rest['src'] ?? rest['dest']
  if (type === 'local' && path) return { type, path: resolve(settings.cwd, path), ...(rest['tag'] && { tag: rest['tag'] }), ...mode }
  if (type === 'inline') return { type }
  throw new StaveError('usage', `--cache-${side} ${text} is not understood`, {
    hint: 'There are type=registry,ref=NAME, type=local,src=DIR or dest=DIR, and type=inline.',
  })
}

function secretOf(text: string, settings: Settings): SecretSource | undefined {
  const given = attributes(text, '--secret')
  const id = given['id']
  if (!id) throw new StaveError('usage', `--secret takes id=ID[,src=FILE|env=VAR], not ${JSON.stringify(text)}`)
  const file = given['src'] ?? given['source']
  const variable = given['env'] ?? (given['type'] === 'env' ? (file ?? id) : undefined)
  if (variable !== undefined) {
    const value = settings.env[variable]
    if (value === undefined) throw new StaveError('secret-missing', `cannot use secret ${id}: the environment has no ${variable}`)
    return { id, value: Buffer.from(value) }
  }
  if (file !== undefined) return { id, file: resolve(settings.cwd, file.replace(/^~(?=\/)/, settings.home)) }
  // Neither: the variable of that name first, then the file, as buildx does.
  const value = settings.env[id]
  return value === undefined ? { id, file: resolve(settings.cwd, id) } : { id, value: Buffer.from(value) }
}

function sshOf(text: string, settings: Settings): SshSource[] {
  const [id = 'default', socket] = text.split(/=(.*)/s)
  const path = socket ?? settings.env['SSH_AUTH_SOCK']
  if (!path)
    throw new StaveError('usage', `--ssh ${text}: no socket is named and SSH_AUTH_SOCK is not set`, {
      hint: 'Start ssh-agent, or write --ssh ID=SOCKET.',
    })
  return [{ id, socket: resolve(settings.cwd, path) }]
}

function attestations(flags: BuildFlags): Pick<BuildOptions, 'provenance' | 'sbom'> {
  let provenance = provenanceOf(flags.provenance)
  let sbom = flags.sbom === undefined ? undefined : flags.sbom === 'true'
  for (const text of flags.attest) {
    const given = attributes(text, '--attest')
    const off = given['disabled'] === 'true' || given['disabled'] === ''
    if (given['type'] === 'provenance') provenance = off ? false : provenanceOf(given['mode'] ?? 'min')
    else if (given['type'] === 'sbom') sbom = !off
    else
      throw new StaveError('usage', `--attest ${text} is not understood`, { hint: 'There are type=provenance[,mode=max] and type=sbom.' })
  }
  return { ...(provenance !== undefined && { provenance }), ...(sbom !== undefined && { sbom }) }
}

function provenanceOf(text: string | undefined): 'min' | 'max' | false | undefined {
  if (text === undefined) return undefined
  const mode = text.startsWith('mode=') ? text.slice(5) : text
  if (mode === 'false') return false
  if (mode === 'max') return 'max'
  if (mode === 'min' || mode === 'true') return 'min'
  throw new StaveError('usage', `--provenance takes min, max or false, not ${JSON.stringify(text)}`)
}

function outputsOf(flags: BuildFlags, settings: Settings): Pick<BuildOptions, 'outputs'> {
  const outputs = flags.output.map((text) => outputOf(text, settings))
  if (flags.push) outputs.push({ type: 'image', push: true })
  return outputs.length > 0 ? { outputs } : {}
}

function outputOf(text: string, settings: Settings): Output {
  if (text === '-') return { type: 'tar', dest: '-' }
  if (!/(^|,)type=/.test(text)) return { type: 'local', dest: resolve(settings.cwd, text) }
  const given = attributes(text, '--output')
  const names = given['name'] ? { names: given['name'].split(',') } : {}
  const dest = given['dest'] === undefined || given['dest'] === '-' ? given['dest'] : resolve(settings.cwd, given['dest'])
  const needed = () => {
    if (dest === undefined) throw new StaveError('usage', `--output ${text}: dest= is missing`)
    return dest
  }
  const split = given['platform-split'] === undefined ? {} : { platformSplit: given['platform-split'] !== 'false' }
  switch (given['type']) {
    case 'image':
      return { type: 'image', ...names, push: given['push'] === 'true' }
    case 'registry':
      return { type: 'registry', ...names }
    case 'oci':
      return { type: 'oci', dest: needed(), ...(given['tar'] !== undefined && { tar: given['tar'] !== 'false' }), ...names }
    case 'docker':
      return dest === undefined ? { type: 'image', ...names } : { type: 'docker', dest, ...names }
    case 'local':
      return { type: 'local', dest: needed(), ...split }
    case 'tar':
      return { type: 'tar', dest: dest ?? '-', ...split }
    case 'cacheonly':
      return { type: 'cacheonly' }
    default:
      throw new StaveError('usage', `--output ${text} is not understood`, {
        hint: 'There are image, registry, oci, docker, local, tar and cacheonly.',
      })
  }
}
