import { join, resolve } from 'node:path'
import { build } from '#builder/build.ts'
import type { BuildOptions, BuildResult, CacheBackend, Output } from '#builder/options.ts'
import { StaveError } from '#error.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation, Values } from '../command.ts'
import { attributes, booleanOf, refuseUnknown } from '../attributes.ts'
import { buildOptions } from './options.ts'
import { buildPlaces } from './places.ts'
import { buildCompression } from './compression.ts'
import { kanikoCertificates, withKanikoRegistries } from './kaniko-registries.ts'
import { untyped } from '../parse.ts'
import { createPlaces } from '../places.ts'
import { writeResult } from '../output/result-file.ts'
import { openSession } from '../session.ts'
import { buildFlags } from './flags.ts'
import type { kanikoFlags } from './kaniko-flags.ts'

type KanikoFlags = Values<typeof kanikoFlags>

/** Builds as kaniko's executor would be told to: pushed to `--destination` unless `--no-push`. */
export async function run({ cx, flags, settings, report }: Invocation<typeof kanikoFlags>): Promise<void> {
  report.mode(flags.verbosity === 'error' || flags.verbosity === 'fatal' || flags.verbosity === 'panic' ? 'quiet' : 'plain')
  if (flags.destination.length === 0 && !flags['no-push'])
    throw new StaveError('usage', 'stave kaniko: --destination is missing', { hint: 'Name where to push, or use --no-push.' })
  const trusting = [flags.insecure, flags['insecure-pull'], flags['skip-tls-verify'], flags['skip-tls-verify-pull']].some(Boolean)
  await using session = await openSession(settings)
  await using places = createPlaces(
    settings,
    {
      ...(trusting && { 'tls-verify': false }),
      retry: flags['push-retry'],
      hosts: withKanikoRegistries(flags),
      certificates: kanikoCertificates(flags, settings),
    },
    async () => session,
  )
  const { context, contextSubPath } = contextOf(flags)
  const none = untyped(buildFlags)
  const shared = buildOptions(
    {
      ...none,
      'build-arg': flags['build-arg'],
      label: flags.label,
      annotation: flags.annotation,
      secret: flags.secret,
      'cache-ttl': flags['cache-ttl'],
      target: flags.target,
      file: flags.dockerfile,
      platform: flags['custom-platform'] === undefined ? [] : [flags['custom-platform']],
    },
    context,
    settings,
  )
  const cache = cacheOf(flags)
  const options: BuildOptions = {
    ...shared,
    ...cache,
    store: session.store,
    places: buildPlaces(places),
    ...(contextSubPath !== undefined && { contextSubPath }),
    ...((context === '-' || flags.dockerfile === '-') && { stdin: process.stdin }),
    tags: flags.destination,
    outputs: outputsOf(flags, settings.cwd),
    ...(flags.reproducible && { epoch: 0 }),
    ...(flags['single-snapshot'] && { squash: 'new' as const }),
    ...buildCompression(flags.compression, levelOf(flags), '--compression'),
  }
  const result = await build(cx, options)
  await report.settle()
  writeDigests(flags, result, settings.cwd)
}

/** kaniko's own default is -1: the usual level. */
function levelOf(flags: KanikoFlags): number | undefined {
  return flags['compression-level'] === -1 ? undefined : flags['compression-level']
}

/** kaniko's schemes. What lies in an object store is not fetched. */
function contextOf(flags: KanikoFlags): Pick<BuildOptions, 'context' | 'contextSubPath'> {
  const text = flags.context ?? '/workspace'
  const [, scheme, rest = ''] = /^([a-z0-9]+):\/\/(.*)$/s.exec(text) ?? [undefined, 'dir', text]
  const sub = flags['context-sub-path']
  if (flags.git.length > 0 && scheme !== 'git') throw new StaveError('usage', 'stave kaniko: --git needs a git:// context')
  const below = sub === undefined ? {} : { contextSubPath: sub }
  switch (scheme) {
    case 'dir':
      return { context: sub === undefined ? rest : join(rest, sub) }
    case 'tar':
      return { context: rest === 'stdin' ? '-' : rest, ...below }
    case 'git':
      return { context: gitUrl(rest, flags.git, sub) }
    case 'http':
    case 'https':
      return { context: text, ...below }
    default:
      throw new StaveError('unsupported', `cannot use the context ${text}: there is no support for ${scheme}://`, {
        hint: 'Fetch it first and use dir:// or tar://; git:// and https:// are fetched here.',
      })
  }
}

/** One commit is fetched, with its submodules unless told otherwise. */
function gitUrl(text: string, options: readonly string[], sub: string | undefined): string {
  const given: Record<string, string> = Object.assign({}, ...options.map((option) => attributes(option, '--git')))
  refuseUnknown(given, ['branch', 'single-branch', 'recurse-submodules'], `--git ${options.join(',')}`)
  // URL#REF#COMMIT: the commit decides.
  const [url = '', ref = '', commit] = text.split('#')
  const query = booleanOf(given, 'recurse-submodules', '--git') === false ? '?submodules=false' : ''
  const address = `https://${url.endsWith('.git') ? url : `${url}.git`}${query}`
  const wanted = commit ?? (ref === '' ? (given['branch'] ?? '') : ref)
  return wanted === '' && sub === undefined ? address : `${address}#${wanted}${sub === undefined ? '' : `:${sub}`}`
}

/** Pushing the cache is a matter of its own: `--no-push` is about the image. */
function cacheOf(flags: KanikoFlags): Pick<BuildOptions, 'cacheFrom' | 'cacheTo'> {
  if (!flags.cache) return {}
  const backend = cacheBackendOf(flags)
  return backend === undefined ? {} : { cacheFrom: [backend], ...(!flags['no-push-cache'] && { cacheTo: [backend] }) }
}

function cacheBackendOf(flags: KanikoFlags): CacheBackend | undefined {
  const repo = flags['cache-repo']
  if (repo?.startsWith('oci:')) return { type: 'local', path: repo.slice('oci:'.length), mode: 'max' }
  const name = repo ?? flags.destination[0]
  if (name === undefined) return undefined
  const { registry, repository } = parseReference(name)
  return { type: 'registry', ref: `${registry}/${repository}${repo === undefined ? '/cache' : ''}:latest`, mode: 'max' }
}

function outputsOf(flags: KanikoFlags, cwd: string): Output[] {
  return [
    ...(flags['no-push'] ? [{ type: 'image' } as const] : [{ type: 'registry' } as const]),
    ...(flags['tar-path'] === undefined ? [] : [{ type: 'docker', dest: resolve(cwd, flags['tar-path']) } as const]),
    ...(flags['oci-layout-path'] === undefined ? [] : [{ type: 'oci', dest: resolve(cwd, flags['oci-layout-path']), tar: false } as const]),
  ]
}

function writeDigests(flags: KanikoFlags, result: BuildResult, cwd: string): void {
  const digest = result.descriptor?.digest
  if (digest === undefined) return
  const write = (file: string | undefined, text: string) => {
    if (file !== undefined) writeResult(resolve(cwd, file), text)
  }
  const named = (keepTag: boolean) =>
    flags.destination
      .map((name) => {
        const { tag, ...rest } = parseReference(name)
        const bare = formatReference({ registry: rest.registry, repository: rest.repository })
        return `${keepTag && tag !== undefined ? `${bare}:${tag}` : bare}@${digest}\n`
      })
      .join('')
  write(flags['digest-file'], digest)
  write(flags['image-name-with-digest-file'], named(false))
  write(flags['image-name-tag-with-digest-file'], named(true))
}
