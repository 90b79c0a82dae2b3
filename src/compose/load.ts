import { statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { readSmallFileSync } from '#image/file.ts'
import * as limit from '#limit.ts'
import { didYouMean } from '#text/suggest.ts'
import { parseEnvFile } from './env-file.ts'
import { isRecord, readSource, type Source } from './document.ts'
import type { Variables } from './interpolate.ts'
import { merge, settled } from './merge.ts'
import type { FileObject, Network, Project, Service, Volume } from './model.ts'
import { dependenciesOf, waves, withNeeded } from './order.ts'
import { anything, below, fields, list, map, text, texts, wrong, type At } from './read.ts'
import { absolute, fileObject, network, service, volume } from './schema.ts'

export interface LoadOptions {
  readonly cwd: string
  /** The caller's environment: it counts before what .env says. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Files as typed; `-` is `stdin`. None: those with the usual names are looked for. */
  readonly files: readonly string[]
  readonly stdin?: string
  readonly directory?: string
  readonly name?: string
  /** Names, or `*` for all. */
  readonly profiles: readonly string[]
  readonly envFiles: readonly string[]
  /** Services that were asked for by name: their profiles do not matter, nor do those of others. */
  readonly services?: readonly string[]
  /** Told what is no error. */
  readonly warn: (message: string) => void
}

/** A project, and where it was found. */
export interface Loaded {
  readonly project: Project
  readonly directory: string
  readonly files: readonly string[]
  /** All services, also those that no active profile has. */
  readonly all: Project['services']
}

const usualNames = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml']
const overrides = ['compose.override.yaml', 'compose.override.yml', 'docker-compose.override.yaml', 'docker-compose.override.yml']

/**
 * Reads a project: its files merged in their order, with variables replaced, what they include and extend, and every reference
 * checked.
 *
 * @throws StaveError `not-found`, `invalid-document` (with the line), `usage`
 * @see Compose specification
 */
export function loadProject(options: LoadOptions): Loaded {
  const dotEnv = readDotEnv(options, options.directory ?? options.cwd, options.envFiles)
  const first = withFallback(options.env, dotEnv)
  const files = filesOf(options, first)
  const directory = resolve(options.cwd, options.directory ?? (files[0] === '-' ? '.' : dirname(files[0] as string)))
  const moreEnv = options.envFiles.length === 0 && directory !== options.cwd ? readDotEnv(options, directory, []) : dotEnv
  const variables = withFallback(options.env, new Map([...moreEnv, ...dotEnv]))
  const loader: Loader = { options, open: [], unset: new Set() }
  const raw = loadFiles(loader, files, directory, variables)
  const name = projectName(options.name ?? variables('COMPOSE_PROJECT_NAME') ?? raw.name, directory, options.name !== undefined)
  for (const variable of loader.unset) options.warn(`the variable ${variable} is not set: it is taken as empty`)
  const profiles =
    options.profiles.length > 0 ? options.profiles : (variables('COMPOSE_PROFILES') ?? '').split(',').filter((word) => word !== '')
  const all = Object.fromEntries(Object.entries(raw.services).map(([key, one]) => [key, finished(one, variables, options)]))
  const services = active(all, profiles, options.services ?? [])
  const project = named({ ...raw, name, services })
  check(project, all)
  waves(project.services)
  return { project, directory, files, all }
}

interface Loader {
  readonly options: LoadOptions
  /** Files that are being read: one that leads back to itself is an error. */
  readonly open: readonly string[]
  readonly unset: Set<string>
}

interface Raw extends Omit<Project, 'name'> {
  readonly name?: string
}

function filesOf({ cwd, files, env, directory }: LoadOptions, variables: Variables): readonly string[] {
  if (files.length > 0) return files.map((file) => (file === '-' ? file : resolve(cwd, file)))
  const given = variables('COMPOSE_FILE')
  if (given !== undefined && given !== '') return given.split(variables('COMPOSE_PATH_SEPARATOR') ?? ':').map((file) => resolve(cwd, file))
  const start = resolve(cwd, directory ?? '.')
  for (let at = start; ; at = dirname(at)) {
    const found = usualNames.map((file) => join(at, file)).find(isThere)
    if (found !== undefined) {
      return [
        found,
        ...overrides
          .map((file) => join(at, file))
          .filter(isThere)
          .slice(0, 1),
      ]
    }
    if (at === dirname(at) || at === env['HOME']) break
  }
  throw new StaveError('not-found', `cannot find a compose file in ${start} or above it`, {
    hint: `It is called compose.yaml; name another one with -f FILE.`,
  })
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false
}

function readDotEnv({ cwd, env }: LoadOptions, directory: string, envFiles: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  const paths = envFiles.length > 0 ? envFiles.map((file) => resolve(cwd, file)) : [join(resolve(cwd, directory), '.env')]
  for (const path of paths) {
    if (envFiles.length === 0 && !isThere(path)) continue
    const read = parseEnvFile(readText(path), path, (name) => env[name] ?? values.get(name))
    for (const [name, value] of read) values.set(name, value)
  }
  return values
}

function withFallback(env: LoadOptions['env'], values: ReadonlyMap<string, string>): Variables {
  return (name) => env[name] ?? values.get(name)
}

function readText(path: string): string {
  try {
    return readSmallFileSync(path, limit.composeLength, {
      mayBePipe: path.startsWith('/dev/fd/') || path.startsWith('/proc/self/fd/'),
    }).toString('utf8')
  } catch (cause) {
    if (cause instanceof StaveError) throw cause
    throw new StaveError((cause as NodeJS.ErrnoException).code === 'EACCES' ? 'permission' : 'not-found', `cannot read ${path}`, { cause })
  }
}

function loadFiles(loader: Loader, files: readonly string[], directory: string, variables: Variables): Raw {
  let merged: Raw | undefined
  for (const file of files) {
    const raw = loadFile(loader, file, directory, variables)
    merged = merged === undefined ? raw : merge(merged, raw)
  }
  return settled(merged as Raw)
}

function sourceOf(loader: Loader, file: string, variables: Variables): Source {
  const { options, open } = loader
  if (open.includes(file))
    throw new StaveError('invalid-document', `cannot read ${file}: it includes itself (${[...open, file].join(' → ')})`)
  if (open.length > limit.composeDepth)
    throw new StaveError('too-large', `cannot read ${file}: files include each other more than ${limit.composeDepth} deep`)
  const content = file === '-' ? (options.stdin ?? '') : readText(file)
  return readSource(content, file === '-' ? 'standard input' : file, variables, (name) => loader.unset.add(name))
}

function loadFile(loader: Loader, file: string, directory: string, variables: Variables): Raw {
  const source = sourceOf(loader, file, variables)
  const at: At = { source, path: [] }
  const inner: Loader = { ...loader, open: [...loader.open, file] }
  const {
    include,
    version: _version,
    ...read
  } = fields<Partial<Raw> & { include?: unknown; version?: unknown; models?: unknown }>({
    name: text,
    version: anything,
    services: map(service),
    networks: map((value, where) => network(value ?? {}, where)),
    volumes: map((value, where) => volume(value ?? {}, where)),
    configs: map((value, where) => fileObject(value ?? {}, where)),
    secrets: map((value, where) => fileObject(value ?? {}, where)),
    include: anything,
    models: anything,
  })(source.value, at)
  const services = Object.fromEntries(
    Object.entries(read.services ?? {}).map(([name, one]) => {
      checkServiceName(name, below(at, 'services', name))
      return [name, extended(inner, source, read.services ?? {}, name, one, directory, variables, [])]
    }),
  )
  const own: Raw = {
    ...(read.name !== undefined && { name: read.name }),
    services,
    networks: read.networks ?? {},
    volumes: read.volumes ?? {},
    configs: placed(read.configs ?? {}, directory, inner),
    secrets: placed(read.secrets ?? {}, directory, inner),
  }
  return included(inner, include, at, directory, variables, own)
}

function checkServiceName(name: string, at: At): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw wrong(at, 'the name of a service has letters, digits, dots, dashes and underscores only')
}

/** Paths that a file names count from its directory. */
function placed(
  objects: Readonly<Record<string, FileObject>>,
  directory: string,
  { options }: Loader,
): Readonly<Record<string, FileObject>> {
  return Object.fromEntries(
    Object.entries(objects).map(([name, one]) => [
      name,
      one.file === undefined ? one : { ...one, file: absolute(one.file, directory, options.env['HOME']) },
    ]),
  )
}

function withPaths(one: Service, directory: string, home: string | undefined): Service {
  const path = (word: string): string => absolute(word, directory, home)
  const isUrl = (word: string): boolean => /^([a-z+]+:\/\/|git@|github\.com\/)/.test(word)
  const { build, volumes, env_file, label_file } = one
  return {
    ...one,
    ...(build !== undefined && {
      build: {
        ...build,
        ...(build.context !== undefined && { context: isUrl(build.context) ? build.context : path(build.context) }),
        ...(build.additional_contexts !== undefined && {
          additional_contexts: Object.fromEntries(
            Object.entries(build.additional_contexts).map(([name, value]) => [
              name,
              value === null || /^[a-z-]+:/.test(value) ? value : path(value),
            ]),
          ),
        }),
      },
    }),
    ...(volumes !== undefined && {
      volumes: volumes.map((mount) =>
        mount.type === 'bind' && mount.source !== undefined ? { ...mount, source: path(mount.source) } : mount,
      ),
    }),
    ...(env_file !== undefined && { env_file: env_file.map((file) => ({ ...file, path: path(file.path) })) }),
    ...(label_file !== undefined && { label_file: label_file.map(path) }),
  }
}

/** A service, with what it extends below it. */
function extended(
  loader: Loader,
  source: Source,
  services: Readonly<Record<string, Service>>,
  name: string,
  one: Service,
  directory: string,
  variables: Variables,
  open: readonly string[],
): Service {
  const { extends: base, ...own } = withPaths(one, directory, loader.options.env['HOME'])
  if (base === undefined) return own
  const at: At = { source, path: ['services', name, 'extends'] }
  const mark = `${source.file}:${name}`
  if (open.includes(mark)) throw wrong(at, 'services extend each other in a circle')
  const next = [...open, mark]
  if (base.file === undefined) {
    const found = Object.hasOwn(services, base.service) ? services[base.service] : undefined
    if (found === undefined) throw wrong(at, `there is no service ${base.service}`, hintFor(base.service, services))
    return merge(extended(loader, source, services, base.service, found, directory, variables, next), own)
  }
  const file = absolute(base.file, directory, loader.options.env['HOME'])
  const other = sourceOf({ ...loader, open: [] }, file, variables)
  const all = isRecord(other.value) ? map(service)(other.value['services'] ?? {}, { source: other, path: ['services'] }) : {}
  const found = Object.hasOwn(all, base.service) ? all[base.service] : undefined
  if (found === undefined) throw wrong(at, `there is no service ${base.service} in ${file}`, hintFor(base.service, all))
  return merge(extended(loader, other, all, base.service, found, dirname(file), variables, next), own)
}

function hintFor(name: string, services: object): { hint?: string } {
  const hint = didYouMean(name, Object.keys(services))
  return hint === undefined ? {} : { hint }
}

/** What `include` names comes from projects of their own, with their own directory; a name may be in one of them only. */
function included(loader: Loader, value: unknown, at: At, directory: string, variables: Variables, own: Raw): Raw {
  if (value === undefined || value === null) return own
  let all = own
  const entries = list((item, where) =>
    isRecord(item)
      ? fields<{ path?: readonly string[]; project_directory?: string; env_file?: readonly string[] }>({
          path: texts,
          project_directory: text,
          env_file: texts,
        })(item, where)
      : { path: [text(item, where)] },
  )(value, below(at, 'include'))
  for (const [index, entry] of entries.entries()) {
    const home = loader.options.env['HOME']
    const paths = (entry.path ?? []).map((path) => absolute(path, directory, home))
    if (paths.length === 0) throw wrong(below(at, 'include', index), 'its path is missing')
    const there =
      'project_directory' in entry && entry.project_directory !== undefined
        ? absolute(entry.project_directory, directory, home)
        : dirname(paths[0] as string)
    const envFiles =
      'env_file' in entry && entry.env_file !== undefined ? entry.env_file.map((path) => absolute(path, directory, home)) : []
    const more = readDotEnv(loader.options, there, envFiles)
    const raw = loadFiles(loader, paths, there, (name) => variables(name) ?? more.get(name))
    for (const kind of ['services', 'networks', 'volumes', 'configs', 'secrets'] as const) {
      for (const [name, one] of Object.entries(raw[kind])) {
        const before = Object.hasOwn(all[kind], name) ? all[kind][name] : undefined
        if (before !== undefined && JSON.stringify(before) !== JSON.stringify(one))
          throw wrong(below(at, 'include', index), `${kind.slice(0, -1)} ${name} is defined in ${paths.join(', ')} and elsewhere`)
        all = { ...all, [kind]: { ...all[kind], [name]: one } }
      }
    }
  }
  return all
}

/** The name that all of a project has in its own: letters and digits, dashes and underscores. */
function projectName(given: string | undefined, directory: string, isTyped: boolean): string {
  if (given !== undefined && given !== '') {
    if (/^[a-z0-9][a-z0-9_-]*$/.test(given)) return given
    throw new StaveError(isTyped ? 'usage' : 'invalid-document', `the project cannot be named ${JSON.stringify(given)}`, {
      hint: 'A name has small letters, digits, dashes and underscores, and begins with a letter or digit.',
    })
  }
  const name = basename(directory)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
  if (name !== '') return name
  throw new StaveError('usage', 'the project has no name', { hint: 'Give it one: -p NAME, or name: in the file.' })
}

/** Variables that come from files and from the caller, as a container gets them. */
function finished(one: Service, variables: Variables, options: LoadOptions): Service {
  const fromFiles = (one.env_file ?? []).flatMap(({ path, required, format }) => {
    if (required === false && !isThere(path)) return []
    const content = readText(path)
    if (format === 'raw') return rawLines(content)
    return [...parseEnvFile(content, path, variables)]
  })
  const own = Object.entries(one.environment ?? {}).map(([name, value]): [string, string | null] => [
    name,
    value ?? variables(name) ?? null,
  ])
  const environment = Object.fromEntries([...fromFiles, ...own])
  const fromLabels = (one.label_file ?? []).flatMap((path) => [...parseEnvFile(readText(path), path, () => undefined)])
  const { env_file: _files, label_file: _labels, ...rest } = one
  if (one.links !== undefined && one.links.length > 0 && one.network_mode !== undefined)
    options.warn('links have no effect with network_mode')
  return {
    ...rest,
    ...(Object.keys(environment).length > 0 && { environment }),
    ...((fromLabels.length > 0 || one.labels !== undefined) && { labels: { ...Object.fromEntries(fromLabels), ...one.labels } }),
  }
}

function rawLines(content: string): [string, string][] {
  return content.split('\n').flatMap((line): [string, string][] => {
    const [, name, value] = /^\s*([^#=\s][^=]*)=(.*)$/.exec(line.replace(/\r$/, '')) ?? []
    return name === undefined ? [] : [[name, value as string]]
  })
}

/** Those that are asked for, with what they need; else those that have no profile or an active one. */
function active(all: Project['services'], profiles: readonly string[], asked: readonly string[]): Project['services'] {
  for (const name of asked)
    if (!Object.hasOwn(all, name)) throw new StaveError('not-found', `there is no service ${name}`, hintFor(name, all))
  const on = new Set([...profiles, ...asked.flatMap((name) => all[name]?.profiles ?? [])])
  const wanted = withNeeded(all, asked)
  return Object.fromEntries(
    Object.entries(all).filter(
      ([name, one]) =>
        wanted.has(name) || (one.profiles ?? []).length === 0 || on.has('*') || one.profiles?.some((profile) => on.has(profile)) === true,
    ),
  )
}

/** Gives everything the name that it has outside of the project, and the network that services are on which name none. */
function named(project: Project): Project {
  const nameOf = (key: string, one: { name?: string; external?: boolean }): string =>
    one.name ?? (one.external === true ? key : `${project.name}_${key}`)
  const services = Object.fromEntries(
    Object.entries(project.services).map(([name, one]) => [
      name,
      one.network_mode !== undefined || one.networks !== undefined ? one : { ...one, networks: { default: null } },
    ]),
  )
  const usesDefault = Object.values(services).some(({ networks }) => networks !== undefined && Object.hasOwn(networks, 'default'))
  const networks: Readonly<Record<string, Network>> = { ...(usesDefault && { default: {} }), ...project.networks }
  const withNames = <T extends { name?: string; external?: boolean }>(objects: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
    Object.fromEntries(Object.entries(objects).map(([key, one]) => [key, { ...one, name: nameOf(key, one) }]))
  return {
    ...project,
    services,
    networks: withNames(networks),
    volumes: withNames<Volume>(project.volumes),
    configs: withNames(project.configs),
    secrets: withNames(project.secrets),
  }
}

/** Every name that is used must be there. */
function check(project: Project, all: Project['services']): void {
  for (const [name, one] of Object.entries(project.services)) {
    const fail = (what: string, hint?: string) =>
      new StaveError('invalid-document', `the service ${name} ${what}`, hint === undefined ? {} : { hint })
    if (one.image === undefined && one.build === undefined && one.provider === undefined)
      throw fail('has neither an image nor a build', 'Say image: NAME, or build: DIRECTORY.')
    if (one.network_mode !== undefined && Object.keys(one.networks ?? {}).length > 0)
      throw fail('has network_mode and networks, of which there can be one')
    if (one.container_name !== undefined && countOf(one) > 1) throw fail('has a container_name, and more than one container')
    const uses = (kind: 'networks' | 'volumes' | 'configs' | 'secrets', used: readonly (string | undefined)[]) => {
      for (const key of used) {
        if (key !== undefined && !Object.hasOwn(project[kind], key)) {
          throw fail(
            `uses the ${kind.slice(0, -1)} ${key}, which is not defined`,
            didYouMean(key, Object.keys(project[kind])) ?? `Define it under ${kind}:.`,
          )
        }
      }
    }
    uses('networks', Object.keys(one.networks ?? {}))
    uses(
      'volumes',
      (one.volumes ?? []).flatMap(({ type, source }) => (type === 'volume' ? [source] : [])),
    )
    uses(
      'configs',
      (one.configs ?? []).map(({ source }) => source),
    )
    uses(
      'secrets',
      [...(one.secrets ?? []), ...(one.build?.secrets ?? [])].map(({ source }) => source),
    )
    for (const [other, { required }] of Object.entries(dependenciesOf(one))) {
      if (Object.hasOwn(project.services, other) || required === false) continue
      if (!Object.hasOwn(all, other)) throw fail(`needs the service ${other}, which is not defined`, didYouMean(other, Object.keys(all)))
    }
  }
}

/** How many containers a service has. */
export function countOf({ scale, deploy }: Service): number {
  return scale ?? deploy?.replicas ?? 1
}
