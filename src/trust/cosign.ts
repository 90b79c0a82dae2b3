import type { Context } from '#context.ts'
import type { Source, Target } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { hasCode, StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { overlay } from '#image/overlay.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import { digestAlgorithm, digestHex, type Digest } from '#oci/digest.ts'
import { decodeManifest, type Manifest } from '#oci/manifest.ts'
import { mediaTypes } from '#oci/media-type.ts'

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json'
const keys = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  bundle: 'dev.sigstore.cosign/bundle',
} as const

/** A signature that was found beside an image, not yet verified. */
export interface Attached {
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** PEM, where it was made by a certificate. */
  readonly certificate: string | undefined
  readonly chain: string | undefined
  /** JSON: an entry of a transparency log. */
  readonly bundle: string | undefined
}

/** The tag under which signatures of a manifest are kept. @see cosign, "Signature Specification" */
export function signatureTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}.sig`
}

/** Signatures of a manifest, as cosign keeps them: layers of a manifest under a tag. */
export async function readAttached(cx: Context, source: Source, digest: Digest): Promise<readonly Attached[]> {
  const found = await readSignatures(cx, source, digest)
  if (found === undefined) return []
  const signatures: Attached[] = []
  for (const layer of found.manifest.layers.slice(0, limit.signatures)) {
    const { annotations = {} } = layer
    const signature = annotations[keys.signature]
    if (layer.mediaType !== payloadType || signature === undefined) continue
    const payload = await readAll(cx, source, layer, limit.signatureBytes)
    const { [keys.certificate]: certificate, [keys.chain]: chain, [keys.bundle]: bundle } = annotations
    signatures.push({ payload, signature: Buffer.from(signature, 'base64'), certificate, chain, bundle })
  }
  return signatures
}

async function readSignatures(
  cx: Context,
  source: Source,
  digest: Digest,
): Promise<{ readonly descriptor: Descriptor; readonly manifest: Manifest } | undefined> {
  let descriptor: Descriptor
  try {
    descriptor = await source.resolve(cx, signatureTag(digest))
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined
    throw error
  }
  const raw = await readAll(cx, source, descriptor, limit.manifestBytes)
  return { descriptor, manifest: decodeManifest(raw, { mediaType: descriptor.mediaType, title: signatureTag(digest) }) }
}

/** Adds a signature to those that a manifest has. One that is there already is not added again. */
export async function attach(cx: Context, target: Target, digest: Digest, payload: Uint8Array, signature: Uint8Array): Promise<Descriptor> {
  const before = await readSignatures(cx, target, digest)
  if ((before?.manifest.layers.length ?? 0) >= limit.signatures)
    throw new StaveError('too-large', `cannot sign ${digest}: it has ${limit.signatures} signatures`, { hint: 'Delete old ones first.' })
  // What was there stays where it is: only what is new is written.
  const place = overlay(`a signature of ${digest}`, new Map(), target)
  const layer = { ...place.top.put(payload, payloadType), annotations: { [keys.signature]: Buffer.from(signature).toString('base64') } }
  const layers = [...(before?.manifest.layers ?? []), layer]
  const config = { architecture: '', os: '', config: {}, rootfs: { type: 'layers', diff_ids: layers.map((each) => each.digest) } }
  const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: place.top.put(encode(config), mediaTypes.ociConfig),
    layers,
  }
  const descriptor = place.top.put(encode(manifest), mediaTypes.ociManifest)
  await copy(cx, place, descriptor, target, { name: signatureTag(digest), stepPrefix: 'signature' })
  return descriptor
}
