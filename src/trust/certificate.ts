import { X509Certificate } from 'node:crypto'
import type { Fulcio, Pki } from './policy.ts'
import { elements, extension } from './der.ts'

/** How many authorities may stand between a signer and a root. */
const longestChain = 8

/** 1.3.6.1.4.1.57264.1.1, whose value is bare text, and 1.3.6.1.4.1.57264.1.8, whose value is DER. @see Fulcio, "OID Info" */
const oidcIssuer = { old: Buffer.from('2b0601040183bf300101', 'hex'), current: Buffer.from('2b0601040183bf300108', 'hex') }
/** 1.3.6.1.5.5.7.3.3 */
const codeSigning = '1.3.6.1.5.5.7.3.3'

export interface Authorities {
  readonly roots: readonly X509Certificate[]
  readonly intermediates: readonly X509Certificate[]
}

/** The certificates in a PEM file. @throws Error where there is none, or a broken one */
export function certificatesOf(pem: Uint8Array | string): readonly X509Certificate[] {
  const blocks =
    Buffer.from(pem)
      .toString('latin1')
      .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new Error('it has no certificate')
  return blocks.map((block) => new X509Certificate(block))
}

/**
 * Why a certificate is not to be trusted, if so: there must be a chain of authorities from it to a root, all of them valid at
 * that time, and it must be for signing code.
 *
 * @param at milliseconds since 1970
 * @see RFC 5280, section 6
 */
export function distrust(leaf: X509Certificate, { roots, intermediates }: Authorities, at: number): string | undefined {
  if (!(leaf.keyUsage ?? []).includes(codeSigning)) return 'its certificate is not for signing code'
  if (!isValidAt(leaf, at)) return `its certificate was not valid at ${new Date(at).toISOString()}`
  let current = leaf
  for (let length = 0; length < longestChain; length++) {
    const issued = (authority: X509Certificate): boolean =>
      authority.ca && current.checkIssued(authority) && current.verify(authority.publicKey) && isValidAt(authority, at)
    if (roots.some(issued)) return undefined
    const next = intermediates.find(issued)
    if (next === undefined) break
    current = next
  }
  return 'its certificate leads to none of the authorities'
}

function isValidAt({ validFromDate, validToDate }: X509Certificate, at: number): boolean {
  return validFromDate.getTime() <= at && at <= validToDate.getTime()
}

/** Why the owner of a certificate of Fulcio is not who is asked for, if so. */
export function fulcioMismatch(leaf: X509Certificate, { oidcIssuer: wanted, subjectEmail }: Fulcio): string | undefined {
  const issuer = issuerOf(leaf)
  if (issuer !== wanted) return `its certificate was given out for ${JSON.stringify(issuer ?? 'no issuer')}`
  return hasEmail(leaf, subjectEmail) ? undefined : `its certificate is for ${leaf.subjectAltName ?? 'nobody'}`
}

/** The same for certificates of an authority of one's own. */
export function pkiMismatch(leaf: X509Certificate, { subjectEmail, subjectHostname }: Pki): string | undefined {
  const isWrong =
    (subjectEmail !== undefined && !hasEmail(leaf, subjectEmail)) ||
    (subjectHostname !== undefined && leaf.checkHost(subjectHostname, { subject: 'never', wildcards: false }) === undefined)
  return isWrong ? `its certificate is for ${leaf.subjectAltName ?? 'nobody'}` : undefined
}

function issuerOf(leaf: X509Certificate): string | undefined {
  const current = extension(leaf.raw, oidcIssuer.current)
  const [text] = current === undefined ? [] : elements(current)
  return (text?.content ?? extension(leaf.raw, oidcIssuer.old))?.toString()
}

function hasEmail(leaf: X509Certificate, email: string): boolean {
  return leaf.checkEmail(email, { subject: 'never' }) === email
}
