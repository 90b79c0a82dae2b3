import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { parseDigest, type Digest } from '#oci/digest.ts'
import type { Reference } from '#oci/reference.ts'
import type { Registry } from '#registry/client/registry.ts'
import type { Places } from '#places/places.ts'
import { registryReference } from '../remote.ts'

/** `NAME@DIGEST` as crane writes it, or `NAME DIGEST` as regctl does. @throws StaveError `usage` */
export function blobReference([text = '', second]: readonly string[]): { readonly reference: Reference; readonly digest: Digest } {
  const reference = registryReference(text)
  const digest = second === undefined ? reference.digest : parseDigest(second)
  if (digest === undefined)
    throw new StaveError('usage', `cannot tell which blob of ${text} is meant: its digest is missing`, { hint: `Write ${text}@sha256:….` })
  return { reference, digest }
}

/** The blob that is named, with its size. @throws StaveError `blob-unknown` */
export async function openBlobPlace(
  cx: Context,
  places: Places,
  args: readonly string[],
): Promise<{ readonly registry: Registry; readonly descriptor: Descriptor }> {
  const { reference, digest } = blobReference(args)
  const registry = await places.registry(reference)
  return { registry, descriptor: await registry.describeBlob(cx, digest) }
}
