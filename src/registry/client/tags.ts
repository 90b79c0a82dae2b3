import type { Context } from '#context.ts'
import { hasCode } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { deleteManifest, getManifest, lookAtManifest, putManifest } from './manifests.ts'
import type { Remote } from './remote.ts'
import { onceContent, uploadBlob } from './uploads.ts'

/**
 * Takes a tag away, and nothing else. Where the registry has no request for that (distribution before 3.0), the tag is
 * moved to a manifest that nobody else has, and that is deleted. If it cannot be, the tag is put back.
 *
 * @throws StaveError `not-found`, `unsupported`
 * @see distribution-spec, "Deleting tags"
 */
export async function deleteTag(cx: Context, remote: Remote, tag: string): Promise<void> {
  try {
    return await deleteManifest(cx, remote, tag)
  } catch (error) {
    if (!hasCode(error, 'unsupported')) throw error
  }
  const before = await getManifest(cx, remote, remote.endpoint, tag)
  const placeholder = await makePlaceholder(cx, remote, before.descriptor)
  await putManifest(cx, remote, placeholder.descriptor, placeholder.raw, tag)
  try {
    await deleteManifest(cx, remote, placeholder.descriptor.digest)
  } catch (error) {
    await putManifest(cx, remote, before.descriptor, before.raw, tag)
    throw error
  }
  // Some registries keep a tag whose manifest is gone, and say so only to who asks for the manifest.
  const left = await lookAtManifest(cx, remote, tag)
  if (left !== undefined && left.digest === placeholder.descriptor.digest) await putManifest(cx, remote, before.descriptor, before.raw, tag)
}

/** The smallest image that there is, with a digest of its own. */
async function makePlaceholder(cx: Context, remote: Remote, instead: Descriptor): Promise<{ descriptor: Descriptor; raw: Uint8Array }> {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { 'delete-tag': `${instead.digest} ${new Date().toISOString()}` } },
      rootfs: { type: 'layers', diff_ids: [] },
    }),
  )
  const descriptor = (bytes: Uint8Array, mediaType: string): Descriptor => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const blob = descriptor(config, mediaTypes.ociConfig)
  await uploadBlob(
    cx,
    remote,
    blob,
    onceContent(
      (async function* () {
        yield config
      })(),
    ),
  )
  const raw = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: blob, layers: [] }))
  return { descriptor: descriptor(raw, mediaTypes.ociManifest), raw }
}
