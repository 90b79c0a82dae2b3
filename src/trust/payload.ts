import { isDigest, type Digest } from '#oci/digest.ts'
import { isRecord } from './identity.ts'

/** What a simple signature says: that this manifest is what is called so. */
export interface Claim {
  readonly digest: Digest
  readonly reference: string
}

/** The two kinds of it: of GPG and of sigstore. */
export const claimTypes = { gpg: 'atomic container signature', sigstore: 'cosign container image signature' } as const

/**
 * Reads the payload of a signature, after the signature was verified. Nothing critical that is not known may stand in it.
 *
 * @returns undefined if it is none
 * @see containers-signature(5), "Signature payload"
 */
export function readClaim(bytes: Uint8Array, type: string): Claim | undefined {
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
  const critical = isRecord(document) ? document['critical'] : undefined
  if (!isRecord(critical) || Object.keys(critical).some((key) => !['type', 'image', 'identity'].includes(key))) return undefined
  const { image, identity } = critical
  if (critical['type'] !== type || !isRecord(image) || !isRecord(identity)) return undefined
  const [digest, reference] = [image['docker-manifest-digest'], identity['docker-reference']]
  if (Object.keys(image).length !== 1 || Object.keys(identity).length !== 1) return undefined
  if (typeof digest !== 'string' || !isDigest(digest) || typeof reference !== 'string') return undefined
  return { digest, reference }
}

/** Writes a payload. `now`: in seconds since 1970; `creator`: the program. */
export function writeClaim({ digest, reference }: Claim, type: string, creator: string, now: number | undefined): Uint8Array {
  const optional = { creator, ...(now !== undefined && { timestamp: now }) }
  const critical = { identity: { 'docker-reference': reference }, image: { 'docker-manifest-digest': digest }, type }
  return new TextEncoder().encode(JSON.stringify({ critical, optional }))
}
