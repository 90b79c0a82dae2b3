import type { KeyObject } from 'node:crypto'
import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Digest } from '#oci/digest.ts'
import type { Attached } from './cosign.ts'
import { StaveError } from '#error.ts'
import { formatReference, type Reference } from '#oci/reference.ts'
import { accepts, type SignedIdentity } from './identity.ts'
import { claimTypes, readClaim, type Claim } from './payload.ts'
import type { Material, Policy, Requirement } from './policy.ts'
import { rulingFor, type Origin } from './scope.ts'

/** What checking needs of the machine. */
export interface Means {
  /** Reads a key or certificate that the policy names. */
  readMaterial(material: Material): Promise<Uint8Array>
  /** Signatures of GPG that are kept beside a registry, for a manifest. */
  lookaside(cx: Context, reference: Reference, digest: Digest): Promise<readonly Uint8Array[]>
  /** Milliseconds since 1970. */
  now(): number
}

/** A manifest that is about to be used. */
export interface Subject {
  readonly origin: Origin
  /** Where its signatures are looked for. */
  readonly source: Source
  readonly digest: Digest
}

/**
 * Why an image may not be used by the policy, rule by rule.
 *
 * @returns undefined if it may
 * @throws StaveError where a key of the policy cannot be read, or a registry not be asked
 */
export async function refusal(cx: Context, policy: Policy, means: Means, subject: Subject): Promise<string | undefined> {
  const { requirements, rule } = rulingFor(policy, subject.origin)
  for (const requirement of requirements) {
    const why = await unmet(cx, means, requirement, subject)
    if (why !== undefined) return `${policy.file} (${rule}) says ${requirement.type}: ${why}`
  }
  return undefined
}

/** Does the policy accept all from there, whatever it is? Then nothing needs to be asked. */
export function acceptsAll(policy: Policy, origin: Origin): boolean {
  return rulingFor(policy, origin).requirements.every(({ type }) => type === 'insecureAcceptAnything')
}

async function unmet(cx: Context, means: Means, requirement: Requirement, subject: Subject): Promise<string | undefined> {
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return undefined
    case 'reject':
      return 'images from there may not be used'
    case 'signedBy':
      return signedBy(cx, means, requirement, subject)
    case 'sigstoreSigned':
      return sigstoreSigned(cx, means, requirement, subject)
  }
}

async function signedBy(
  cx: Context,
  means: Means,
  { keys, identity }: Requirement & { type: 'signedBy' },
  { origin, digest }: Subject,
): Promise<string | undefined> {
  if (origin.reference === undefined) return 'only images of registries have signatures'
  const { verifySigned } = await import('./gpg.ts')
  const rings = await Promise.all(keys.map((key) => means.readMaterial(key)))
  const reasons: string[] = []
  for (const message of await means.lookaside(cx, origin.reference, digest)) {
    const signed = await verifySigned(message, rings)
    const why =
      signed === undefined
        ? 'it is by no key of the policy'
        : misfit(readClaim(signed.content, claimTypes.gpg), identity, origin.reference, digest)
    if (why === undefined) return undefined
    reasons.push(why)
  }
  return summary(reasons)
}

async function sigstoreSigned(
  cx: Context,
  means: Means,
  requirement: Requirement & { type: 'sigstoreSigned' },
  { origin, source, digest }: Subject,
): Promise<string | undefined> {
  if (origin.reference === undefined) return 'only images of registries have signatures'
  const [{ readAttached }, signers] = await Promise.all([import('./cosign.ts'), signersOf(means, requirement)])
  const reasons: string[] = []
  for (const attached of await readAttached(cx, source, digest)) {
    const why =
      (await signers(attached)) ?? misfit(readClaim(attached.payload, claimTypes.sigstore), requirement.identity, origin.reference, digest)
    if (why === undefined) return undefined
    reasons.push(why)
  }
  return summary(reasons)
}

function summary(reasons: readonly string[]): string {
  if (reasons.length === 0) return 'it has no signature'
  return reasons.length === 1
    ? `its signature does not count: ${reasons[0]}`
    : `none of its ${reasons.length} signatures counts: ${[...new Set(reasons)].join('; ')}`
}

/** Why what was signed is not this image under this name, if so. */
function misfit(claim: Claim | undefined, identity: SignedIdentity, reference: Reference, digest: Digest): string | undefined {
  if (claim === undefined) return 'what it signs is not the name of an image'
  if (claim.digest !== digest) return `it is of ${claim.digest}`
  return accepts(identity, reference, claim.reference)
    ? undefined
    : `it is for ${claim.reference}, and not for ${formatReference(reference)}`
}

/** Tells why a signature is by nobody whom the requirement names; undefined if it is. */
type Signers = (attached: Attached) => Promise<string | undefined>

async function signersOf(means: Means, requirement: Requirement & { type: 'sigstoreSigned' }): Promise<Signers> {
  const { publicKey, verifies } = await import('./key.ts')
  const read = async (material: Material, what: string): Promise<KeyObject> => publicKey(await means.readMaterial(material), what)
  const nameOf = (material: Material): string => ('path' in material ? material.path : 'a key of the policy')
  const logs = await Promise.all(requirement.rekor.map((key) => read(key, nameOf(key))))
  if (requirement.keys.length > 0) {
    const keys = await Promise.all(requirement.keys.map((key) => read(key, nameOf(key))))
    return async (attached) => {
      const key = keys.find((each) => verifies(each, attached.payload, attached.signature))
      if (key === undefined) return 'it is by no key of the policy'
      const time = logs.length === 0 ? 0 : await logTime(attached, logs, key.export({ format: 'pem', type: 'spki' }))
      return typeof time === 'string' ? time : undefined
    }
  }
  return byCertificate(means, requirement, logs)
}

async function byCertificate(
  means: Means,
  { fulcio, pki }: Requirement & { type: 'sigstoreSigned' },
  logs: readonly KeyObject[],
): Promise<Signers> {
  const [{ certificatesOf, distrust, fulcioMismatch, pkiMismatch }, { verifies }] = await Promise.all([
    import('./certificate.ts'),
    import('./key.ts'),
  ])
  const load = async (material: Material | undefined) => (material === undefined ? [] : certificatesOf(await means.readMaterial(material)))
  let roots
  let intermediates
  try {
    ;[roots, intermediates] = await Promise.all([load(fulcio?.ca ?? pki?.roots), load(pki?.intermediates)])
  } catch (cause) {
    throw new StaveError('invalid-document', 'cannot read the authorities that the policy names', { cause })
  }
  return async (attached) => {
    const { certificate, chain, payload, signature } = attached
    if (certificate === undefined) return 'it has no certificate'
    let leaf
    let between
    try {
      ;[leaf] = certificatesOf(certificate)
      between = chain === undefined ? [] : certificatesOf(chain)
    } catch {
      return 'its certificate cannot be read'
    }
    if (leaf === undefined || !verifies(leaf.publicKey, payload, signature)) return 'it is not by the key of its certificate'
    const time = logs.length === 0 ? means.now() / 1000 : await logTime(attached, logs, certificate)
    if (typeof time === 'string') return time
    const authorities = { roots: roots ?? [], intermediates: [...(intermediates ?? []), ...between] }
    return (
      distrust(leaf, authorities, time * 1000) ??
      (fulcio === undefined ? undefined : fulcioMismatch(leaf, fulcio)) ??
      (pki === undefined ? undefined : pkiMismatch(leaf, pki))
    )
  }
}

async function logTime({ bundle, payload, signature }: Attached, logs: readonly KeyObject[], signer: string): Promise<number | string> {
  if (bundle === undefined) return 'it has no entry in a transparency log'
  const { loggedAt } = await import('./rekor.ts')
  return loggedAt(bundle, logs, { payload, signature, signer })
}
