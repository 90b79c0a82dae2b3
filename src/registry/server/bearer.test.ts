import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { pushImage, startRig } from '../testing.ts'
import { background as cx } from '#context.ts'
import { givenToken } from '../login/credentials.ts'
import { createTokenCheck } from './bearer.ts'

const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' })
const names = { realm: 'https://auth.example/token', service: 'registry.example', issuer: 'auth.example' }

interface Claims {
  readonly actions?: readonly string[]
  readonly repository?: string
  readonly issuer?: string
  readonly audience?: string
  readonly expires?: string | number
  readonly notBefore?: string
}

function tokenOf(key: KeyObject, algorithm: string, claims: Claims = {}, header: object = {}): Promise<string> {
  const token = new SignJWT({
    access: [{ type: 'repository', name: claims.repository ?? 'a', actions: claims.actions ?? ['pull', 'push'] }],
  })
    .setProtectedHeader({ alg: algorithm, ...header })
    .setSubject('ann')
    .setIssuer(claims.issuer ?? names.issuer)
    .setAudience(claims.audience ?? names.service)
    .setNotBefore(claims.notBefore ?? '0s')
  return (claims.expires === undefined ? token.setExpirationTime('5m') : token.setExpirationTime(claims.expires)).sign(key)
}

test('tokens of several keys, in PEM', async () => {
  const check = createTokenCheck({ ...names, keys: pem(elliptic.publicKey) + pem(rsa.publicKey) })
  expect(await check(await tokenOf(elliptic.privateKey, 'ES256'))).toEqual({
    user: 'ann',
    scopes: [{ type: 'repository', name: 'a', actions: ['pull', 'push'] }],
  })
  expect(await check(await tokenOf(rsa.privateKey, 'RS256'))).toBeDefined()
  expect(await check(await tokenOf(other.privateKey, 'ES256'))).toBeUndefined()
})

test('tokens of a set of keys, by their ids', async () => {
  const keys = [
    { ...elliptic.publicKey.export({ format: 'jwk' }), kid: 'one' },
    { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'two' },
  ]
  const check = createTokenCheck({ ...names, keys: JSON.stringify({ keys }) })
  expect(await check(await tokenOf(rsa.privateKey, 'PS256', {}, { kid: 'two' }))).toBeDefined()
  expect(await check(await tokenOf(elliptic.privateKey, 'ES256', {}, { kid: 'one' }))).toBeDefined()
  expect(await check(await tokenOf(other.privateKey, 'ES256', {}, { kid: 'one' }))).toBeUndefined()
  expect(await check(await tokenOf(rsa.privateKey, 'RS256', {}, { kid: 'three' }))).toBeUndefined()
})

test.each<[string, Claims]>([
  ['of another issuer', { issuer: 'evil.example' }],
  ['for another registry', { audience: 'other.example' }],
  ['that is over', { expires: '-2m' }],
  ['that begins later', { notBefore: '5m' }],
])('a token %s is none', async (_, claims) => {
  expect(
    await createTokenCheck({ ...names, keys: pem(elliptic.publicKey) })(await tokenOf(elliptic.privateKey, 'ES256', claims)),
  ).toBeUndefined()
})

test('a token without an end, without a signature, or signed with the public key as a secret is none', async () => {
  const check = createTokenCheck({ ...names, keys: pem(rsa.publicKey) })
  const endless = await new SignJWT({})
    .setProtectedHeader({ alg: 'RS256' })
    .setIssuer(names.issuer)
    .setAudience(names.service)
    .sign(rsa.privateKey)
  const [, payload] = (await tokenOf(rsa.privateKey, 'RS256')).split('.')
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
  const secret = await new SignJWT({})
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(names.issuer)
    .setAudience(names.service)
    .setExpirationTime('5m')
    .sign(Buffer.from(pem(rsa.publicKey)))
  for (const token of [endless, unsigned, secret, '', 'a.b', 'a.b.c']) expect(await check(token)).toBeUndefined()
})

test.each(['', 'nothing', '{', '{"keys":1}', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'])('%j are no keys', (keys) => {
  expect(() => createTokenCheck({ ...names, keys })).toThrow(expect.objectContaining({ code: 'usage' }))
})

test('a registry lets in who brings a token for what is asked, and sends others to the token server', async () => {
  expect(createPublicKey(pem(elliptic.publicKey)).asymmetricKeyType).toBe('ec')
  await using rig = await startRig({ auth: { kind: 'bearer', ...names, keys: pem(elliptic.publicKey) } })
  const tokenFor = (claims: Claims) => tokenOf(elliptic.privateKey, 'ES256', claims)
  await pushImage(cx, rig.open('a', { credentials: givenToken(await tokenFor({})) }), 'v1')

  const ask = async (path: string, token: string | undefined, method = 'GET') => {
    const response = await fetch(rig.server.url + path, {
      method,
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    })
    return [response.status, response.headers.get('www-authenticate')]
  }
  const challenge = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull"'
  expect(await ask('/v2/a/manifests/v1', undefined)).toEqual([401, challenge])
  expect(await ask('/v2/', undefined)).toEqual([401, 'Bearer realm="https://auth.example/token",service="registry.example"'])
  expect(await ask('/v2/a/manifests/v1', await tokenFor({ repository: 'b' }))).toEqual([401, `${challenge},error="insufficient_scope"`])
  expect(await ask('/v2/a/manifests/v1', await tokenFor({ actions: ['pull'] }))).toEqual([200, null])
  expect((await ask('/v2/a/manifests/v1', await tokenFor({ actions: ['pull'] }), 'DELETE'))[0]).toBe(401)
  expect((await ask('/v2/a/manifests/v1', await tokenFor({ actions: ['*'] }), 'DELETE'))[0]).toBe(202)
  expect((await ask('/token', undefined))[0]).toBe(404)
})
