import { createPrivateKey, createPublicKey, scryptSync, sign as signWith, verify as verifyWith, type KeyObject } from 'node:crypto'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { isRecord } from './identity.ts'

/**
 * Reads a public key, or the certificate that has one, in PEM.
 *
 * @param what for messages
 * @throws StaveError `invalid-document`
 */
export function publicKey(pem: Uint8Array | string, what: string): KeyObject {
  try {
    const key = createPublicKey(typeof pem === 'string' ? pem : Buffer.from(pem))
    if (!['ec', 'rsa', 'ed25519'].includes(key.asymmetricKeyType ?? '')) throw new Error(`it is of type ${key.asymmetricKeyType}`)
    return key
  } catch (cause) {
    throw new StaveError('invalid-document', `cannot use ${what}: it is not a public key of ECDSA, RSA or Ed25519 in PEM`, { cause })
  }
}

/** Verifies a signature over a payload as cosign makes it: ECDSA and RSA (PKCS #1 v1.5) over its SHA-256, Ed25519 over itself. */
export function verifies(key: KeyObject, payload: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verifyWith(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key, signature)
  } catch {
    // A signature that is none.
    return false
  }
}

/** The counterpart of {@link verifies}. */
export function signPayload(key: KeyObject, payload: Uint8Array): Uint8Array {
  return signWith(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key)
}

/**
 * Reads a private key: PKCS #8 or SEC 1 in PEM, or the encrypted file that cosign and podman write.
 *
 * @param what for messages
 * @throws StaveError `credentials` where the passphrase is missing or wrong, `invalid-document`
 */
export async function privateKey(text: string, passphrase: string | undefined, what: string): Promise<KeyObject> {
  const [, , body] = /-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----([^-]+)-----END/.exec(text) ?? []
  try {
    if (body === undefined) return createPrivateKey({ key: text, ...(passphrase !== undefined && { passphrase }) })
    return createPrivateKey({ key: await unsealed(Buffer.from(body, 'base64'), passphrase ?? '', what), format: 'der', type: 'pkcs8' })
  } catch (cause) {
    if (cause instanceof StaveError) throw cause
    const isLocked = /passphrase|bad decrypt|interrupted/i.test(String(cause))
    throw new StaveError(
      isLocked ? 'credentials' : 'invalid-document',
      `cannot use ${what}: ${isLocked ? 'the passphrase is wrong' : 'it is not a private key'}`,
      {
        cause,
        hint: 'Give the passphrase in a file (--passphrase-file) or in COSIGN_PASSWORD.',
      },
    )
  }
}

/** @see secure-systems-lab, "encrypted": scrypt, and NaCl's secretbox around PKCS #8 */
async function unsealed(bytes: Buffer, passphrase: string, what: string): Promise<Buffer> {
  const { kdf, cipher, ciphertext } = sealOf(bytes, what)
  if (128 * kdf.N * kdf.r > limit.scryptBytes) throw new StaveError('too-large', `cannot use ${what}: its scrypt takes too much memory`)
  const key = scryptSync(passphrase, kdf.salt, 32, { N: kdf.N, r: kdf.r, p: kdf.p, maxmem: limit.scryptBytes + 1024 * 1024 })
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js')
  try {
    return Buffer.from(xsalsa20poly1305(key, cipher).decrypt(ciphertext))
  } catch {
    throw new StaveError('credentials', `cannot use ${what}: the passphrase is wrong`, {
      hint: 'Give it in a file (--passphrase-file) or in COSIGN_PASSWORD.',
    })
  }
}

interface Seal {
  readonly kdf: { readonly N: number; readonly r: number; readonly p: number; readonly salt: Buffer }
  /** The nonce. */
  readonly cipher: Buffer
  readonly ciphertext: Buffer
}

function sealOf(bytes: Buffer, what: string): Seal {
  const fail = (): never => {
    throw new StaveError('invalid-document', `cannot use ${what}: it is not an encrypted key of sigstore`)
  }
  let document: unknown
  try {
    document = JSON.parse(bytes.toString())
  } catch {
    return fail()
  }
  const { kdf, cipher, ciphertext } = isRecord(document) ? document : {}
  if (!isRecord(kdf) || kdf['name'] !== 'scrypt' || !isRecord(kdf['params']) || !isRecord(cipher)) return fail()
  const { N, r, p } = kdf['params']
  const isCost = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value > 0
  if (!isCost(N) || !isCost(r) || !isCost(p) || p > 16 || cipher['name'] !== 'nacl/secretbox') return fail()
  if (typeof kdf['salt'] !== 'string' || typeof cipher['nonce'] !== 'string' || typeof ciphertext !== 'string') return fail()
  const nonce = Buffer.from(cipher['nonce'], 'base64')
  if (nonce.length !== 24) return fail()
  return { kdf: { N, r, p, salt: Buffer.from(kdf['salt'], 'base64') }, cipher: nonce, ciphertext: Buffer.from(ciphertext, 'base64') }
}

/** A new pair of keys: the private one encrypted as cosign and podman read it, the public one in PEM. */
export async function generateKeys(passphrase: string): Promise<{ readonly privatePem: string; readonly publicPem: string }> {
  const { generateKeyPairSync, randomBytes } = await import('node:crypto')
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js')
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const params = { N: 65_536, r: 8, p: 1 }
  const [salt, nonce] = [randomBytes(32), randomBytes(24)]
  const key = scryptSync(passphrase, salt, 32, { ...params, maxmem: limit.scryptBytes })
  const sealed = xsalsa20poly1305(key, nonce).encrypt(pair.privateKey.export({ format: 'der', type: 'pkcs8' }))
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const document = {
    kdf: { name: 'scrypt', params, salt: text(salt) },
    cipher: { name: 'nacl/secretbox', nonce: text(nonce) },
    ciphertext: text(sealed),
  }
  const lines = text(Buffer.from(JSON.stringify(document)))
    .replace(/(.{64})/g, '$1\n')
    .trimEnd()
  return {
    privatePem: `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${lines}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`,
    publicPem: pair.publicKey.export({ format: 'pem', type: 'spki' }),
  }
}
