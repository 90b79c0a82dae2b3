import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { isRecord } from './identity.ts'
import { verifies } from './key.ts'

/** What an entry of the log must be about. */
export interface Logged {
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** The key, or the certificate, in PEM. */
  readonly signer: string
}

/**
 * The time at which a signature was written into a transparency log, if the log itself says so.
 *
 * @param bundle JSON: the promise of the log, with the entry
 * @returns seconds since 1970; or why it does not count
 * @see Rekor, "Signed Entry Timestamp"; hashedrekord v0.0.1
 */
export function loggedAt(bundle: string, logs: readonly KeyObject[], what: Logged): number | string {
  const document = parsed(bundle)
  const { SignedEntryTimestamp: promise, Payload: entry } = isRecord(document) ? document : {}
  if (typeof promise !== 'string' || !isRecord(entry)) return 'its entry in the log cannot be read'
  const { body, integratedTime, logID, logIndex } = entry
  if (typeof body !== 'string' || typeof integratedTime !== 'number' || typeof logID !== 'string' || typeof logIndex !== 'number')
    return 'its entry in the log cannot be read'
  // The log signs the canonical form: keys in order, no white space.
  const signed = Buffer.from(JSON.stringify({ body, integratedTime, logID, logIndex }))
  if (!logs.some((log) => verifies(log, signed, Buffer.from(promise, 'base64')))) return 'none of the logs has promised its entry'
  return isAbout(Buffer.from(body, 'base64').toString(), what) ? integratedTime : 'its entry in the log is of another signature'
}

function isAbout(body: string, { payload, signature, signer }: Logged): boolean {
  const document = parsed(body)
  const spec =
    isRecord(document) && document['kind'] === 'hashedrekord' && document['apiVersion'] === '0.0.1' ? document['spec'] : undefined
  if (!isRecord(spec) || !isRecord(spec['data']) || !isRecord(spec['signature'])) return false
  const { hash } = spec['data']
  const { content, publicKey } = spec['signature']
  if (!isRecord(hash) || hash['algorithm'] !== 'sha256' || typeof content !== 'string' || !isRecord(publicKey)) return false
  const { content: key } = publicKey
  return (
    hash['value'] === createHash('sha256').update(payload).digest('hex') &&
    Buffer.from(content, 'base64').equals(Buffer.from(signature)) &&
    typeof key === 'string' &&
    isSameKey(Buffer.from(key, 'base64').toString(), signer)
  )
}

function isSameKey(one: string, other: string): boolean {
  try {
    const der = (pem: string): Buffer => createPublicKey(pem).export({ format: 'der', type: 'spki' })
    return one.trim() === other.trim() || der(one).equals(der(other))
  } catch {
    return false
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
