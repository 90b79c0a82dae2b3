import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import { isAttestation, openImage, readManifest, view } from '#image/image.ts'
import { validate } from '#image/validate.ts'
import { leavesFirst, walk } from '#image/walk.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { isConfig } from '#oci/media-type.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Invocation } from '../command.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { validateFlags } from './verb-commands.ts'

interface Finding {
  readonly digest: string
  readonly subject: string
  readonly message: string
}

/** Reads all of an image, or of each image of an index, hashes it again, and tells what is wrong. @returns 1 if anything is */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof validateFlags>): Promise<number> {
  await using places = createPlaces(settings, { ...flags, unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, args[0]!)
  const named = await resolveOrLeave(cx, source, name)
  const root = flags.platform === undefined ? named : (await openImage(cx, source, named, parsePlatform(flags.platform))).descriptor
  const { checked, findings } = await examine(cx, source, root)
  if (flags.json) report.json({ digest: root.digest, checked, problems: findings })
  else {
    for (const { digest, subject, message } of findings) report.print(`${digest}: ${subject}: ${message}`)
    if (findings.length === 0) report.print(`${root.digest} is sound`)
  }
  return findings.length === 0 ? 0 : 1
}

async function examine(
  cx: Context,
  source: Source,
  root: Descriptor,
): Promise<{ checked: readonly string[]; findings: readonly Finding[] }> {
  const checked: string[] = []
  const findings: Finding[] = []
  const descriptors = await descriptorsOf(cx, source, root)
  for (const node of leavesFirst(await walk(cx, source, root))) {
    const { document } = node
    const { digest } = document.descriptor
    checked.push(digest)
    if (document.kind === 'index') continue
    const descriptor = descriptors.get(digest) ?? document.descriptor
    if (isAttestation(descriptor) || !isConfig(document.manifest.config.mediaType)) {
      for (const blob of node.blobs)
        await readThrough(cx, source, blob, (message) => findings.push({ digest, subject: blob.digest, message }))
      continue
    }
    const image = view(source, descriptor, document.manifest, document.raw)
    findings.push(...(await validate(cx, image)).map((problem) => ({ digest, ...problem })))
  }
  return { checked, findings }
}

/** As the index has them: with the platform that the config has to agree with. */
async function descriptorsOf(cx: Context, source: Source, root: Descriptor): Promise<ReadonlyMap<string, Descriptor>> {
  const document = await readManifest(cx, source, root)
  return new Map((document.kind === 'index' ? document.index.manifests : []).map((entry) => [entry.digest, entry] as const))
}

/** What is no image has no more to it than that its bytes are those that the digest names. */
async function readThrough(cx: Context, source: Source, blob: Descriptor, report: (message: string) => void): Promise<void> {
  const { verified } = await import('#image/read.ts')
  try {
    for await (const _ of verified(await source.open(cx, blob), blob, source.title)) cx.signal.throwIfAborted()
  } catch (error) {
    cx.signal.throwIfAborted()
    report(error instanceof Error ? error.message : String(error))
  }
}
