import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { StaveError } from '#error.ts'
import type { TomlTable, TomlValue } from 'smol-toml'
import { parseToml } from './toml.ts'

/** A repository as it is reached: at the registry itself or at a mirror of it. */
export interface Endpoint {
  /** What is connected to, with port where given: `registry-1.docker.io`. */
  readonly host: string
  /** What credentials are kept under, and people call it: `docker.io`. */
  readonly registry: string
  readonly repository: string
  /** TLS certificates are not checked, and plain http is accepted. */
  readonly isInsecure: boolean
  readonly isMirror: boolean
  /** What a mirror may be asked for. */
  readonly serves: 'all' | 'digest-only' | 'tag-only'
}

/**
 * What registries.conf says of where registries are. What it says of names without a registry is not used: here, as in
 * docker and BuildKit, these are Docker Hub's, so that a Dockerfile means the same on every machine.
 */
export interface Hosts {
  /** Where to read from: mirrors first, the registry last. @throws StaveError `denied` when the name is blocked */
  endpoints(registry: string, repository: string, tag?: string): readonly Endpoint[]
  /** The table that a name falls under; undefined: none does. */
  rule(registry: string, repository: string, tag?: string): HostsRule | undefined
}

/** A table [[registry]] of a file. */
export interface HostsRule {
  readonly file: string
  readonly prefix: string
}

/** Files and directories of registries.conf and certs.d. */
export interface HostsPaths {
  /** The first that exists is read. */
  readonly files: readonly string[]
  /** Their `*.conf` are read in the order of names, after the file; a later one wins. */
  readonly dropIns: readonly string[]
  /** Directories with a directory of certificates for each `host:port`. */
  readonly certificates: readonly string[]
}

/** @see containers-registries.conf(5), containers-certs.d(5) */
export function defaultHostsPaths(environment: Readonly<Record<string, string | undefined>>, user: { readonly home: string }): HostsPaths {
  const config = path.join(environment.XDG_CONFIG_HOME || path.join(user.home, '.config'), 'containers')
  const named = environment.CONTAINERS_REGISTRIES_CONF || environment.REGISTRIES_CONFIG_PATH
  const certificates = [path.join(config, 'certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d']
  if (named) return { files: [named], dropIns: [], certificates }
  return {
    files: [path.join(config, 'registries.conf'), '/etc/containers/registries.conf', '/usr/share/containers/registries.conf'],
    dropIns: ['/etc/containers/registries.conf.d', path.join(config, 'registries.conf.d')],
    certificates,
  }
}

interface Rule extends HostsRule {
  readonly location: string
  readonly isInsecure: boolean
  readonly isBlocked: boolean
  readonly mirrors: readonly Mirror[]
}

interface Mirror {
  readonly location: string
  readonly isInsecure: boolean
  readonly serves: Endpoint['serves']
}

/** Reads the configuration. Missing files are no error. @throws StaveError `invalid-document` */
export function readHosts(paths: HostsPaths): Hosts {
  const documents: { readonly file: string; readonly text: string }[] = []
  for (const file of paths.files) {
    const text = readOptional(file)
    if (text === undefined) continue
    documents.push({ file, text })
    break
  }
  for (const directory of paths.dropIns) {
    for (const name of dropIns(directory)) {
      const file = path.join(directory, name)
      const text = readOptional(file)
      if (text !== undefined) documents.push({ file, text })
    }
  }
  return parseHosts(documents)
}

/** The meaning of configuration files, a later one overriding an earlier one. @throws StaveError `invalid-document` */
export function parseHosts(documents: readonly { readonly file: string; readonly text: string }[]): Hosts {
  const rules = new Map<string, Rule>()
  for (const { file, text } of documents) {
    const document = parseToml(text, file)
    if (document.registries !== undefined) {
      throw broken(
        file,
        'it is in the first version of its format',
        'Rewrite [registries.search], [registries.insecure] and [registries.block] as [[registry]] tables.',
      )
    }
    for (const table of tablesOf(document.registry, file, 'registry')) {
      const rule = readRule(table, file)
      rules.set(rule.prefix, rule)
    }
  }
  const all = [...rules.values()]
  return {
    endpoints: (registry, repository, tag) => resolve(all, registry, repository, tag),
    rule(registry, repository, tag) {
      const found = bestRule(all, fullName(registry, repository, tag))?.rule
      return found === undefined ? undefined : { file: found.file, prefix: found.prefix }
    },
  }
}

/** No mirrors, nothing blocked. */
export const noHosts: Hosts = parseHosts([])

function readRule(table: TomlTable, file: string): Rule {
  const location = optional(table.location, file, 'registry.location')
  const prefix = trim(optional(table.prefix, file, 'registry.prefix') ?? location ?? '')
  if (prefix === '') throw broken(file, 'a [[registry]] has neither prefix nor location')
  const digestOnly = flag(table['mirror-by-digest-only'], file, 'registry.mirror-by-digest-only')
  const mirrors = tablesOf(table.mirror, file, 'registry.mirror').map((mirror): Mirror => {
    const serves = optional(mirror['pull-from-mirror'], file, 'registry.mirror.pull-from-mirror') ?? (digestOnly ? 'digest-only' : 'all')
    if (serves !== 'all' && serves !== 'digest-only' && serves !== 'tag-only')
      throw broken(file, `pull-from-mirror is ${JSON.stringify(serves)}, not all, digest-only or tag-only`)
    const place = trim(optional(mirror.location, file, 'registry.mirror.location') ?? '')
    if (place === '') throw broken(file, `a mirror of ${prefix} has no location`)
    return { location: place, isInsecure: flag(mirror.insecure, file, 'registry.mirror.insecure'), serves }
  })
  return {
    file,
    prefix,
    location: trim(location ?? (prefix.startsWith('*.') ? '' : prefix)),
    isInsecure: flag(table.insecure, file, 'registry.insecure'),
    isBlocked: flag(table.blocked, file, 'registry.blocked'),
    mirrors,
  }
}

function fullName(registry: string, repository: string, tag: string | undefined): string {
  return tag === undefined ? `${registry}/${repository}` : `${registry}/${repository}:${tag}`
}

/** The longest prefix as it is written wins; a wildcard counts without its star. */
function bestRule(rules: readonly Rule[], full: string): { readonly rule: Rule; readonly length: number } | undefined {
  let best: { readonly rule: Rule; readonly length: number } | undefined
  for (const rule of rules) {
    const length = matchLength(rule.prefix, full)
    if (length !== undefined && (best === undefined || rule.prefix.length > best.rule.prefix.length)) best = { rule, length }
  }
  return best
}

function resolve(rules: readonly Rule[], registry: string, repository: string, tag: string | undefined): Endpoint[] {
  const name = `${registry}/${repository}`
  const best = bestRule(rules, fullName(registry, repository, tag))
  if (best === undefined) return [endpoint(name, false, false, 'all')]
  const { rule, length } = best
  if (rule.isBlocked) {
    throw new StaveError('denied', `cannot use ${name}: the registry ${rule.prefix} is blocked`, {
      hint: 'registries.conf says so, with `blocked = true`.',
    })
  }
  const rest = name.slice(Math.min(length, name.length))
  return [
    ...rule.mirrors.map((mirror) => endpoint(mirror.location + rest, mirror.isInsecure, true, mirror.serves)),
    endpoint(rule.location === '' ? name : rule.location + rest, rule.isInsecure, false, 'all'),
  ]
}

/** How many characters of the name a prefix stands for; undefined when it does not match. */
function matchLength(prefix: string, name: string): number | undefined {
  if (prefix.startsWith('*.')) {
    // `*.example.com/acme`: any subdomain, then the path as it is.
    const [suffix = '', ...rest] = prefix.slice(1).split('/')
    const host = name.slice(0, name.indexOf('/'))
    if (!host.endsWith(suffix) || host.length === suffix.length) return undefined
    const whole = [host, ...rest].join('/')
    return matchLength(whole, name)
  }
  if (!name.startsWith(prefix)) return undefined
  const next = name[prefix.length]
  return next === undefined || next === '/' || next === ':' || next === '@' ? prefix.length : undefined
}

function endpoint(name: string, isInsecure: boolean, isMirror: boolean, serves: Endpoint['serves']): Endpoint {
  const slash = name.indexOf('/')
  const registry = slash < 0 ? name : name.slice(0, slash)
  return {
    host: registry === 'docker.io' || registry === 'index.docker.io' ? 'registry-1.docker.io' : registry,
    registry,
    repository: slash < 0 ? '' : name.slice(slash + 1),
    isInsecure,
    isMirror,
    serves,
  }
}

function dropIns(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .sort()
  } catch {
    return []
  }
}

// Not through promises: they load much of Node, and these few small files are read before anything else can begin.
function readOptional(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    throw broken(file, 'it cannot be read', undefined, error)
  }
}

function trim(location: string): string {
  return location.replace(/\/+$/, '')
}

function broken(file: string, why: string, hint?: string, cause?: unknown): StaveError {
  return new StaveError('invalid-document', `cannot use ${file}: ${why}`, {
    ...(hint !== undefined && { hint }),
    ...(cause !== undefined && { cause }),
  })
}

function stringOf(value: TomlValue, file: string, key: string): string {
  if (typeof value !== 'string') throw broken(file, `${key} is not a string`)
  return value
}

function optional(value: TomlValue | undefined, file: string, key: string): string | undefined {
  return value === undefined || value === '' ? undefined : stringOf(value, file, key)
}

function flag(value: TomlValue | undefined, file: string, key: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw broken(file, `${key} is neither true nor false`)
  return value ?? false
}

function tableOf(value: TomlValue, file: string, key: string): TomlTable {
  if (typeof value !== 'object' || Array.isArray(value)) throw broken(file, `${key} is not a table`)
  return value as TomlTable
}

function tablesOf(value: TomlValue | undefined, file: string, key: string): TomlTable[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw broken(file, `${key} is not an array of tables: write [[${key}]]`)
  return (value as readonly TomlValue[]).map((item) => tableOf(item, file, key))
}
