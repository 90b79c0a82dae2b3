import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { hostPlatform, formatPlatform } from '#oci/platform.ts'
import type { Invocation, Values } from '../command.ts'
import { chosenCompression } from './compression.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import { openSession, type Session } from '../session.ts'
import type { copyFlags } from './commands.ts'
import type { sideFlags } from '../shared-flags.ts'
import { transfer } from '#image/transfer.ts'

/** Copies an image or an index from one place to another. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof copyFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  if (flags['preserve-digests'] && flags.format !== undefined) {
    throw new StaveError('usage', '--preserve-digests and --format exclude each other: another format has another digest')
  }
  const compression = chosenCompression(settings, {
    compress: flags['dest-compress'],
    decompress: flags['dest-decompress'],
    format: flags['dest-compress-format'],
    level: flags['dest-compress-level'],
  })
  if (flags['preserve-digests'] && compression !== undefined) {
    throw new StaveError('usage', '--preserve-digests excludes compressing and decompressing layers: they get other digests')
  }
  let opened: Promise<Session> | undefined
  const session = () => (opened ??= openSession(settings))
  try {
    await using from = createPlaces(settings, sideOf(flags, 'src'), session)
    await using to = createPlaces(settings, sideOf(flags, 'dest'), session)
    const { source, name } = await from.source(cx, args[0]!)
    const { target, name: targetName } = await to.target(cx, args[1]!)
    const root = await source.resolve(cx, name)
    const copied = await transfer(cx, {
      title: `copying ${args[0]} to ${args[1]}`,
      from: source,
      root,
      to: target,
      name: targetName,
      moreNames: flags['additional-tag'],
      format: flags.format ?? (compression?.compression === 'zstd' ? 'oci' : undefined),
      platforms: chosenPlatforms(flags),
      concurrency: flags['image-parallel-copies'],
      ...(compression && { compression }),
      referrers: flags.referrers ?? false,
    })
    if (flags.digestfile !== undefined) writeFileSync(resolve(settings.cwd, flags.digestfile), `${copied.digest}\n`)
    await report.settle()
    if (!flags.quiet) report.print(copied.digest)
  } finally {
    if (opened) await (await opened)[Symbol.asyncDispose]()
  }
}

/** The flags of one side: `--src-creds` before `--creds`. */
export function sideOf(flags: Values<typeof sideFlags>, side: 'src' | 'dest'): RegistryChoices {
  return {
    'tls-verify': flags[`${side}-tls-verify`] ?? flags['tls-verify'],
    creds: flags[`${side}-creds`] ?? flags.creds,
    'no-creds': flags[`${side}-no-creds`] ?? flags['no-creds'],
    authfile: flags[`${side}-authfile`] ?? flags.authfile,
    'cert-dir': flags[`${side}-cert-dir`] ?? flags['cert-dir'],
    retry: flags['retry-times'],
    'retry-delay': flags['retry-delay'],
    'signature-policy': flags.policy,
    'insecure-policy': flags['insecure-policy'],
    'registries.d': flags['registries.d'],
  }
}

function chosenPlatforms(flags: Values<typeof copyFlags>): 'all' | 'present' | readonly string[] {
  const host = formatPlatform(hostPlatform(process.arch))
  const [os = 'linux', architecture = ''] = host.split('/')
  if (flags.platform.length > 0) return flags.platform.flatMap((text) => text.split(','))
  if (flags['override-arch'] !== undefined || flags['override-os'] !== undefined || flags['override-variant'] !== undefined) {
    const variant = flags['override-variant'] === undefined ? '' : `/${flags['override-variant']}`
    return [`${flags['override-os'] ?? os}/${flags['override-arch'] ?? architecture}${variant}`]
  }
  if (flags['multi-arch'] === 'system') return [host]
  return flags['multi-arch'] === 'index-only' ? [] : 'present'
}
