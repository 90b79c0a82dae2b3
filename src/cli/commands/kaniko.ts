import { join, resolve } from 'node:path'
import { build } from '#build/build.ts'
import type { BuildOptions, BuildResult, Output } from '#build/options.ts'
import { StaveError } from '#error.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation, Values } from '../command.ts'
import { buildOptions } from '../build-options.ts'
import { buildPlaces } from '../build-places.ts'
import { parseFlags } from '../parse.ts'
import { createPlaces } from '../places.ts'
import { writeResult } from '../result-file.ts'
import { openSession } from '../session.ts'
import { buildCommands } from '../table/build.ts'
import type { buildFlags } from '../table/build-flags.ts'
import type { kanikoFlags } from '../table/kaniko-flags.ts'

type KanikoFlags = Values<typeof kanikoFlags>

/** Builds as kaniko's executor would be told to: pushed to `--destination` unless `--no-push`. */
export async function run({ cx, flags, settings, report }: Invocation<typeof kanikoFlags>): Promise<void> {
  report.mode(flags.verbosity === 'error' || flags.verbosity === 'fatal' || flags.verbosity === 'panic' ? 'quiet' : 'plain')
  if (flags.destination.length === 0 && !flags['no-push']) {
    throw new StaveError('usage', 'stave kaniko: --destination is missing', { hint: 'Name where to push, or use --no-push.' })
  }
  const trusting = [flags.insecure, flags['insecure-pull'], flags['skip-tls-verify'], flags['skip-tls-verify-pull']].some(Boolean)
  await using session = await openSession(settings)
  await using places = createPlaces(settings, { ...(trusting && { 'tls-verify': false }), retry: flags['push-retry'] }, async () => session)
  const { context, stdin } = contextOf(flags)
  const none = parseFlags(buildCommands[0]!, {}, []).values as unknown as Values<typeof buildFlags>
  const shared = buildOptions(
    {
      ...none,
      'build-arg': flags['build-arg'],
      label: flags.label,
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
    ...(stdin && { stdin: process.stdin }),
    tags: flags.destination,
    outputs: outputsOf(flags, settings.cwd),
    ...(flags.reproducible && { epoch: 0 }),
    ...(flags['single-snapshot'] && { squash: 'new' as const }),
    ...(flags.compression !== undefined && { compression: flags.compression as 'gzip' | 'zstd' }),
    ...(flags['compression-level'] !== undefined && { compressionLevel: flags['compression-level'] }),
  }
  const result = await build(cx, options)
  await report.settle()
  writeDigests(flags, result, settings.cwd)
}

/** kaniko's schemes. What lies in an object store is not fetched. */
function contextOf(flags: KanikoFlags): { context: string; stdin: boolean } {
  const text = flags.context ?? '/workspace'
  const [, scheme, rest = ''] = /^([a-z0-9]+):\/\/(.*)$/s.exec(text) ?? [undefined, 'dir', text]
  const sub = flags['context-sub-path']
  switch (scheme) {
    case 'dir':
      return { context: sub === undefined ? rest : join(rest, sub), stdin: false }
    case 'tar':
      if (sub !== undefined) throw new StaveError('usage', 'stave kaniko: --context-sub-path needs a directory or git context')
      return rest === 'stdin' ? { context: '-', stdin: true } : { context: rest, stdin: false }
    case 'git': {
      const [url = '', ref = ''] = rest.split('#')
      const address = `https://${url.endsWith('.git') ? url : `${url}.git`}`
      return { context: ref === '' && sub === undefined ? address : `${address}#${ref}${sub === undefined ? '' : `:${sub}`}`, stdin: false }
    }
    case 'http':
    case 'https':
      return { context: text, stdin: false }
    default:
      throw new StaveError('unsupported', `cannot use the context ${text}: there is no support for ${scheme}://`, {
        hint: 'Fetch it first and use dir:// or tar://; git:// and https:// are fetched here.',
      })
  }
}

function cacheOf(flags: KanikoFlags): Pick<BuildOptions, 'cacheFrom' | 'cacheTo'> {
  if (!flags.cache) return {}
  const [first] = flags.destination
  if (flags['cache-repo'] === undefined && first === undefined) return {}
  const { registry, repository } = parseReference(flags['cache-repo'] ?? first!)
  const ref = `${registry}/${repository}${flags['cache-repo'] === undefined ? '/cache' : ''}:latest`
  const backend = { type: 'registry', ref, mode: 'max' } as const
  return { cacheFrom: [backend], ...(!flags['no-push-cache'] && !flags['no-push'] && { cacheTo: [backend] }) }
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
