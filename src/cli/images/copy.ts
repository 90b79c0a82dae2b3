import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { leavesFirst, walk } from '#image/walk.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { hostPlatform, formatPlatform } from '#oci/platform.ts'
import type { Invocation, Values } from '../command.ts'
import { chosenCompression } from './compression.ts'
import { parseLocation } from '#places/location.ts'
import { type OpenSource, type OpenTarget, resolveOrLeave } from '#places/places.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import { openSession, type Session } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { RecompressOptions } from '#image/recompress.ts'
import type { copyFlags } from './commands.ts'
import type { sideFlags } from '../shared-flags.ts'
import { copySignatures } from '../trust/copy-signatures.ts'
import { transfer } from '#image/transfer.ts'

/** Copies an image or an index from one place to another. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof copyFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const compression = checkedCompression(flags, settings)
  let opened: Promise<Session> | undefined
  const session = () => (opened ??= openSession(settings))
  try {
    await using from = createPlaces(settings, endOf(flags, 'src'), session)
    await using to = createPlaces(settings, endOf(flags, 'dest'), session)
    const { source, name } = await from.source(cx, args[0]!)
    const { target, name: targetName } = await to.target(cx, args[1]!)
    const platforms = chosenPlatforms(flags, parseLocation(args[0]!).transport === 'store')
    if (flags['no-clobber']) await refuseOther(cx, target, targetName, args[1]!)
    const isSigning = flags['sign-by'] !== undefined || flags['sign-by-sigstore-private-key'] !== undefined
    const hasMore = flags.referrers === true || flags['digest-tags'] === true || isSigning
    const isWhole = platforms === 'all' && flags.format === undefined && compression === undefined && !hasMore
    const same =
      isWhole && flags['additional-tag'].length === 0 ? await unchanged(cx, { source, name }, { target, name: targetName }) : undefined
    if (same !== undefined) return finish(same.digest)
    const root = await resolveOrLeave(cx, source, name)
    const signatures = await copySignatures(
      cx,
      {
        from: parseLocation(args[0]!),
        to: parseLocation(args[1]!),
        places: to,
        settings,
        trust: sideOf(flags, 'src'),
        choices: signing(flags),
      },
      root,
    )
    const copied = await transfer(cx, {
      title: `copying ${args[0]} to ${args[1]}`,
      from: source,
      root,
      to: target,
      name: targetName,
      moreNames: flags['additional-tag'],
      format: flags.format ?? (compression?.compression === 'zstd' ? 'oci' : undefined),
      platforms,
      sparse: flags.sparse ?? false,
      concurrency: flags['image-parallel-copies'],
      ...(compression && { compression }),
      referrers: flags.referrers ?? false,
      before: (changed) => signatures.prepare(changed),
    })
    await signatures.finish()
    if (flags['digest-tags']) await copyDigestTags(cx, source, root, target)
    await finish(copied.digest)
  } finally {
    if (opened) await (await opened)[Symbol.asyncDispose]()
  }

  async function finish(digest: string): Promise<void> {
    if (flags.digestfile !== undefined) writeFileSync(resolve(settings.cwd, flags.digestfile), `${digest}\n`)
    await report.settle()
    if (!flags.quiet) report.print(digest)
  }
}

/** What flags say of layers. @throws StaveError `usage` where they contradict `--preserve-digests` */
function checkedCompression(flags: Values<typeof copyFlags>, settings: Settings): RecompressOptions | undefined {
  if (flags['preserve-digests'] && flags.format !== undefined)
    throw new StaveError('usage', '--preserve-digests and --format exclude each other: another format has another digest')
  const compression = chosenCompression(settings, {
    compress: flags['dest-compress'],
    decompress: flags['dest-decompress'],
    format: flags['dest-compress-format'],
    level: flags['dest-compress-level'],
  })
  if (flags['preserve-digests'] && compression !== undefined)
    throw new StaveError('usage', '--preserve-digests excludes compressing and decompressing layers: they get other digests')
  if (flags['preserve-digests'] && flags.platform.length > 1 && flags.sparse !== true) {
    throw new StaveError('usage', '--preserve-digests excludes several of --platform: an index of these has another digest', {
      hint: 'With --sparse the index stays as it is, and mentions what is not copied.',
    })
  }
  return compression
}

/** The flags of one side, also those that say where its content is. */
function endOf(flags: Values<typeof copyFlags>, side: 'src' | 'dest'): RegistryChoices {
  return {
    ...sideOf(flags, side),
    'shared-blob-dir': flags[`${side}-shared-blob-dir`],
    'daemon-host': flags[`${side}-daemon-host`],
  }
}

function signing(flags: Values<typeof copyFlags>): Parameters<typeof copySignatures>[1]['choices'] {
  return {
    signBy: flags['sign-by'],
    sigstoreKey: flags['sign-by-sigstore-private-key'],
    passphraseFile: flags['sign-passphrase-file'],
    identity: flags['sign-identity'],
    isRemoving: flags['remove-signatures'] === true,
  }
}

/** `--no-clobber` @throws StaveError `conflict` */
async function refuseOther(cx: Context, target: Target, name: string | undefined, place: string): Promise<void> {
  const there = name === undefined ? undefined : await (target.look ?? lookByName)(cx, name)
  if (there === undefined) return
  throw new StaveError('conflict', `cannot copy to ${place}: it is there already, with the digest ${there.digest}`, {
    hint: 'Without --no-clobber it is replaced.',
  })

  async function lookByName(inner: Context, text: string): Promise<Descriptor | undefined> {
    return target.resolve(inner, text).catch((error: unknown) => {
      if (hasCode(error, 'not-found')) return undefined
      throw error
    })
  }
}

/** cosign's signatures, attestations and SBOMs of what was copied, and lists of referrers: tags that are made of its digests. */
async function copyDigestTags(cx: Context, source: Source, root: Descriptor, target: Target): Promise<void> {
  const digests = leavesFirst(await walk(cx, source, root)).map(({ descriptor }) => descriptor.digest.replace(':', '-'))
  const tags = (await namesIn(cx, source)).filter((tag) => digests.some((digest) => tag === digest || tag.startsWith(`${digest}.`)))
  for (const tag of tags) {
    const signature = await source.resolve(cx, tag)
    await transfer(cx, { title: `copying ${tag}`, from: source, root: signature, to: target, name: tag })
  }
}

async function namesIn(cx: Context, source: Source): Promise<readonly string[]> {
  if ('listTags' in source) return (source as Source & { listTags(cx: Context): Promise<string[]> }).listTags(cx)
  return ((await source.list?.(cx)) ?? []).flatMap(({ names }) => names)
}

/** What both names stand for, if it is the same: asked for with one HEAD at each end, which counts as no pull. */
async function unchanged(cx: Context, from: OpenSource, to: OpenTarget): Promise<Descriptor | undefined> {
  const there = to.name === undefined ? undefined : await to.target.look?.(cx, to.name)
  if (there === undefined) return undefined
  const here = from.source.describe === undefined ? await from.source.resolve(cx, from.name) : await from.source.describe(cx, from.name)
  return here?.digest === there.digest ? here : undefined
}

/** The flags of one side: `--src-creds` before `--creds`. */
export function sideOf(flags: Values<typeof sideFlags>, side: 'src' | 'dest'): RegistryChoices {
  return {
    'tls-verify': flags[`${side}-tls-verify`] ?? flags['tls-verify'],
    creds: flags[`${side}-creds`] ?? flags.creds,
    username: flags[`${side}-username`],
    password: flags[`${side}-password`],
    'registry-token': flags[`${side}-registry-token`],
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

/** The store has often one platform of an index: what a pull brought. Elsewhere what an index mentions has to be there. */
function chosenPlatforms(flags: Values<typeof copyFlags>, fromStore: boolean): 'all' | 'present' | readonly string[] {
  const host = formatPlatform(hostPlatform(process.arch))
  const [os = 'linux', architecture = ''] = host.split('/')
  if (flags.platform.length > 0) return flags.platform.flatMap((text) => text.split(','))
  if (flags['override-arch'] !== undefined || flags['override-os'] !== undefined || flags['override-variant'] !== undefined) {
    const variant = flags['override-variant'] === undefined ? '' : `/${flags['override-variant']}`
    return [`${flags['override-os'] ?? os}/${flags['override-arch'] ?? architecture}${variant}`]
  }
  if (flags['multi-arch'] === 'system') return [host]
  if (flags['multi-arch'] === 'index-only') return []
  const isWhole = flags.all === true || flags['multi-arch'] === 'all' || flags['preserve-digests'] === true
  return fromStore && !isWhole ? 'present' : 'all'
}
