import { createPublicKey, type KeyObject } from 'node:crypto'
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify, type JWTVerifyOptions } from 'jose'
import { StaveError } from '#error.ts'
import type { Scope } from '../client/auth.ts'

/** A token server that somebody else runs. */
export interface TokenServer {
  /** Its address, which clients are sent to. */
  readonly realm: string
  /** What this registry is called there: `aud` of its tokens. */
  readonly service: string
  /** `iss` of its tokens. */
  readonly issuer: string
  /** What its tokens are signed with: public keys or certificates in PEM, or a JSON Web Key Set. */
  readonly keys: string
}

/** What a token says. */
export interface Granted {
  readonly user: string | undefined
  readonly scopes: readonly Scope[]
}

/** Undefined for what is no token of this server, or not for this registry, or too old. */
export type CheckToken = (token: string) => Promise<Granted | undefined>

/** Signatures alone: with a secret that both know (HS256), a public key would be taken for that secret. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
/** How far clocks may differ, as in distribution. */
const leewayS = 60

/**
 * Reads the tokens of a token server.
 *
 * @throws StaveError `usage` when there is no key in `keys`
 * @see distribution, "Token Authentication Implementation"; RFC 7519
 */
export function createTokenCheck(server: TokenServer): CheckToken {
  const verifiers = verifiersOf(server.keys)
  const options: JWTVerifyOptions = {
    issuer: server.issuer,
    audience: server.service,
    algorithms,
    clockTolerance: leewayS,
    requiredClaims: ['exp'],
  }
  return async (token) => {
    for (const verify of verifiers) {
      try {
        return grantedBy(await verify(token, options))
      } catch {
        // A key of another kind, not the one that signed, or no token: whatever it is, this key lets nobody in.
      }
    }
    return undefined
  }
}

type Verify = (token: string, options: JWTVerifyOptions) => Promise<JWTPayload>

function verifiersOf(text: string): Verify[] {
  if (text.trimStart().startsWith('{')) {
    try {
      const keys = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
      return [async (token, options) => (await jwtVerify(token, keys, options)).payload]
    } catch (cause) {
      throw noKey(cause)
    }
  }
  const blocks = text.match(/-----BEGIN (?:CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY)-----[^-]+-----END [A-Z ]+-----/g) ?? []
  if (blocks.length === 0) throw noKey()
  return blocks.map((block) => {
    const key = readKey(block)
    return async (token, options) => (await jwtVerify(token, key, options)).payload
  })
}

function readKey(block: string): KeyObject {
  try {
    return createPublicKey(block)
  } catch (cause) {
    throw noKey(cause)
  }
}

function noKey(cause?: unknown): StaveError {
  return new StaveError('usage', 'cannot check tokens: the keys of the token server cannot be read', {
    cause,
    hint: 'They are public keys or certificates in PEM, or a JSON Web Key Set.',
  })
}

function grantedBy({ sub, access }: JWTPayload): Granted {
  const scopes = (Array.isArray(access) ? access : []).flatMap((entry: unknown) => {
    const { type, name, actions } = (entry ?? {}) as Record<string, unknown>
    if ((type !== 'repository' && type !== 'registry') || typeof name !== 'string' || !Array.isArray(actions)) return []
    return [{ type, name, actions: actions.filter((action) => typeof action === 'string') } satisfies Scope]
  })
  return { user: sub === '' ? undefined : sub, scopes }
}
