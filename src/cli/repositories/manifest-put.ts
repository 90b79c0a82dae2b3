import { StaveError } from '#error.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { spool } from '../spool.ts'
import type { manifestPutFlags } from './commands.ts'
import { openNamed } from '../remote.ts'

/** Sends a manifest or an index, exactly these bytes, and prints its digest. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof manifestPutFlags>): Promise<void> {
  const [place = '', file = '-'] = args
  await using content = await spool(cx, settings, file)
  if (content.size > limit.manifestBytes)
    throw new StaveError('too-large', `cannot use ${file} as a manifest: it has ${content.size} bytes`)
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const { registry, reference } = await openNamed(places, place)
  const bytes = { digest: content.digest, size: content.size, mediaType: '' }
  const raw = await readAll(cx, { ...registry, open: async () => content.open(0) }, bytes, limit.manifestBytes)
  const { mediaType } = decodeManifestOrIndex(raw, {
    title: file === '-' ? 'on stdin' : file,
    ...(flags['content-type'] !== undefined && { mediaType: flags['content-type'] }),
  })
  if (reference.digest !== undefined && reference.digest !== content.digest)
    throw new StaveError('digest-mismatch', `cannot push ${place}: the manifest has the digest ${content.digest}`)
  const descriptor = { ...bytes, mediaType }
  await registry.write(cx, descriptor, await content.open(0))
  // Of a name without a tag the tag `latest` was meant, as everywhere; a digest asks for none.
  if (reference.tag !== undefined && !flags['by-digest']) await registry.name(cx, descriptor, reference.tag)
  if (flags.json) report.json(descriptor)
  else report.print(descriptor.digest)
}
