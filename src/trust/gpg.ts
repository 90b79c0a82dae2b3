/** A message that was signed with a key of GPG: what it says, and whose key it was. */
export interface Signed {
  readonly content: Uint8Array
  /** Hexadecimal, upper case. */
  readonly fingerprint: string
}

/**
 * Verifies a signed message (not a detached signature) against a keyring, armored or binary.
 *
 * @returns undefined if no key of the ring has made a valid signature
 * @throws Error if the ring cannot be read
 * @see RFC 9580, section 10.3
 */
export async function verifySigned(message: Uint8Array, rings: readonly Uint8Array[]): Promise<Signed | undefined> {
  const openpgp = await import('openpgp')
  const verificationKeys = (await Promise.all(rings.map((ring) => keysOf(openpgp, ring)))).flat()
  try {
    const read = await openpgp.readMessage({ binaryMessage: message })
    const { data, signatures } = await openpgp.verify({ message: read, verificationKeys, format: 'binary' })
    for (const signature of signatures) {
      const isGood = await signature.verified.catch(() => false)
      const key = verificationKeys.find((each) => each.getKeys(signature.keyID).length > 0)
      if (isGood && key !== undefined) return { content: data, fingerprint: key.getFingerprint().toUpperCase() }
    }
  } catch {
    // What is no message, or is broken, is no signature.
  }
  return undefined
}

async function keysOf(openpgp: typeof import('openpgp'), ring: Uint8Array) {
  const text = Buffer.from(ring).toString('latin1')
  return text.includes('-----BEGIN PGP') ? openpgp.readKeys({ armoredKeys: text }) : openpgp.readKeys({ binaryKeys: ring })
}
