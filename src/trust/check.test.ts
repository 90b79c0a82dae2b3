import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, sign as signWith, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { memory, type Memory } from '#image/memory.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { refusal, type Means } from './check.ts'
import { attach, signatureTag } from './cosign.ts'
import { generateKeys, privateKey, publicKey, signPayload, verifies } from './key.ts'
import { claimTypes, writeClaim } from './payload.ts'
import { parsePolicy } from './policy.ts'
import { trusted } from './source.ts'

const reference = 'registry.example/web:1'
const origin = { transport: 'docker', reference: parseReference(reference) } as const
const digest = digestOf('the manifest')

const kinds = {
  ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ed25519: () => generateKeyPairSync('ed25519'),
} as const
const pemOf = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' })

const means: Means = {
  readMaterial: async (material) => ('data' in material ? material.data : readFileSync(material.path)),
  lookaside: async () => [],
  now: () => Date.now(),
}

let place: Memory
beforeEach(() => {
  place = memory('a registry')
})

function policyOf(requirement: object) {
  const transports = {
    docker: { 'registry.example': [{ type: 'sigstoreSigned', signedIdentity: { type: 'matchRepository' }, ...requirement }] },
  }
  return parsePolicy(Buffer.from(JSON.stringify({ default: [{ type: 'reject' }], transports })), 'policy.json')
}

const keyed = (...keys: readonly KeyObject[]) => policyOf({ keyDatas: keys.map((key) => Buffer.from(pemOf(key)).toString('base64')) })
const check = (policy: ReturnType<typeof policyOf>) => refusal(cx, policy, means, { origin, source: place, digest })

async function sign(key: KeyObject, claim: { digest?: Digest; reference?: string; type?: string } = {}): Promise<void> {
  const payload = writeClaim(
    { digest: claim.digest ?? digest, reference: claim.reference ?? reference },
    claim.type ?? claimTypes.sigstore,
    't',
    1,
  )
  await attach(cx, place, digest, payload, signPayload(key, payload))
}

describe('keys', () => {
  test.each(Object.keys(kinds) as (keyof typeof kinds)[])('%s', async (kind) => {
    const [own, other] = [kinds[kind](), kinds[kind]()]
    expect(await check(keyed(own.publicKey))).toContain('it has no signature')
    await sign(own.privateKey)
    expect(await check(keyed(own.publicKey))).toBeUndefined()
    expect(await check(keyed(other.publicKey))).toContain('by no key of the policy')
    expect(await check(keyed(other.publicKey, own.publicKey))).toBeUndefined()
  })

  test('several signatures: one of them will do', async () => {
    const [a, b] = [kinds.ec(), kinds.ec()]
    await sign(a.privateKey)
    await sign(b.privateKey)
    expect(await check(keyed(b.publicKey))).toBeUndefined()
    expect((await place.resolve(cx, signatureTag(digest))).mediaType).toBe(mediaTypes.ociManifest)
  })

  test.each([
    ['another manifest', { digest: digestOf('another') }, 'it is of sha256:'],
    ['another repository', { reference: 'registry.example/other:1' }, 'it is for registry.example/other:1'],
    ['another kind of claim', { type: claimTypes.gpg }, 'not the name of an image'],
  ])('a signature of %s does not count', async (_name, claim, why) => {
    const { publicKey: own, privateKey: key } = kinds.ec()
    await sign(key, claim)
    expect(await check(keyed(own))).toContain(why)
  })

  test('bytes that were changed afterwards', () => {
    for (const kind of Object.values(kinds)) {
      const pair = kind()
      const payload = Buffer.from('payload')
      const signature = signPayload(pair.privateKey, payload)
      expect(verifies(pair.publicKey, payload, signature)).toBe(true)
      expect(verifies(pair.publicKey, Buffer.from('payloae'), signature)).toBe(false)
      expect(verifies(pair.publicKey, payload, Buffer.from('x'))).toBe(false)
    }
  })

  test('an encrypted key, its passphrase, and what is none', async () => {
    const { privatePem, publicPem } = await generateKeys('correct horse')
    const key = await privateKey(privatePem, 'correct horse', 'the key')
    expect(verifies(publicKey(publicPem, 'the key'), Buffer.from('x'), signPayload(key, Buffer.from('x')))).toBe(true)
    await expect(privateKey(privatePem, 'wrong', 'the key')).rejects.toMatchObject({ code: 'credentials' })
    await expect(privateKey(privatePem, undefined, 'the key')).rejects.toMatchObject({ code: 'credentials' })
    const huge = Buffer.from(
      JSON.stringify({
        kdf: { name: 'scrypt', params: { N: 2 ** 30, r: 8, p: 1 }, salt: '' },
        cipher: { name: 'nacl/secretbox', nonce: 'A'.repeat(32) },
        ciphertext: '',
      }),
    )
    const pem = `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${huge.toString('base64')}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`
    await expect(privateKey(pem, 'x', 'the key')).rejects.toMatchObject({ code: 'too-large' })
    await expect(privateKey('nonsense', undefined, 'the key')).rejects.toMatchObject({ code: 'invalid-document' })
  })
})

describe('certificates', () => {
  let directory: string
  const file = (name: string): string => join(directory, name)
  const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' })
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'stave-trust-'))
    for (const ca of ['ca', 'evil']) {
      openssl(
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        `${ca}.key`,
        '-out',
        `${ca}.pem`,
        '-subj',
        `/CN=${ca}`,
        '-days',
        '30',
      )
    }
    writeFileSync(
      file('leaf.cnf'),
      'keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=email:me@example.com,DNS:ci.example.com\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://issuer.example\n',
    )
    writeFileSync(file('server.cnf'), 'extendedKeyUsage=serverAuth\nsubjectAltName=email:me@example.com\n')
    for (const [name, ca, extensions] of [
      ['leaf', 'ca', 'leaf.cnf'],
      ['foreign', 'evil', 'leaf.cnf'],
      ['server', 'ca', 'server.cnf'],
    ] as const) {
      openssl(
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        '/CN=x',
      )
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        `${ca}.pem`,
        '-CAkey',
        `${ca}.key`,
        '-CAcreateserial',
        '-days',
        '10',
        '-extfile',
        extensions,
        '-out',
        `${name}.pem`,
      )
    }
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  interface Entry {
    readonly log?: KeyObject
    readonly at?: number
    readonly other?: boolean
  }

  /** A signature with a certificate, and an entry in a log. */
  async function signWithCertificate(name: string, entry: Entry = {}): Promise<void> {
    const payload = writeClaim({ digest, reference }, claimTypes.sigstore, 't', 1)
    const key = await privateKey(readFileSync(file(`${name}.key`), 'utf8'), undefined, name)
    const signature = signPayload(key, payload)
    const certificate = readFileSync(file(`${name}.pem`), 'utf8')
    const hash = createHash('sha256')
      .update(entry.other ? 'other' : payload)
      .digest('hex')
    const spec = {
      data: { hash: { algorithm: 'sha256', value: hash } },
      signature: {
        content: Buffer.from(signature).toString('base64'),
        publicKey: { content: Buffer.from(certificate).toString('base64') },
      },
    }
    const body = Buffer.from(JSON.stringify({ apiVersion: '0.0.1', kind: 'hashedrekord', spec })).toString('base64')
    const logged = { body, integratedTime: entry.at ?? Math.floor(Date.now() / 1000) + 5, logID: 'x', logIndex: 1 }
    const promise = entry.log === undefined ? undefined : signWith('sha256', Buffer.from(JSON.stringify(logged)), entry.log)
    const bundle = promise === undefined ? undefined : JSON.stringify({ SignedEntryTimestamp: promise.toString('base64'), Payload: logged })
    const layer = {
      ...place.put(payload, 'application/vnd.dev.cosign.simplesigning.v1+json'),
      annotations: {
        'dev.cosignproject.cosign/signature': Buffer.from(signature).toString('base64'),
        'dev.sigstore.cosign/certificate': certificate,
        ...(bundle !== undefined && { 'dev.sigstore.cosign/bundle': bundle }),
      },
    }
    const config = place.put(Buffer.from('{}'), mediaTypes.ociConfig)
    const manifest = place.put(
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] })),
      mediaTypes.ociManifest,
    )
    await place.name(cx, manifest, signatureTag(digest))
  }

  const pki = (change: object = {}) => policyOf({ pki: { caRootsPath: file('ca.pem'), subjectEmail: 'me@example.com', ...change } })

  test.each<[string, string, object, string | undefined]>([
    ['by our authority', 'leaf', {}, undefined],
    ['for our host', 'leaf', { subjectEmail: undefined, subjectHostname: 'ci.example.com' }, undefined],
    ['for another host', 'leaf', { subjectHostname: 'other.example.com' }, 'its certificate is for'],
    ['for somebody else', 'leaf', { subjectEmail: 'you@example.com' }, 'its certificate is for'],
    ['by another authority', 'foreign', {}, 'leads to none of the authorities'],
    ['for another use', 'server', {}, 'not for signing code'],
  ])('%s', async (_name, leaf, change, why) => {
    await signWithCertificate(leaf)
    const found = await check(pki(change))
    if (why === undefined) expect(found).toBeUndefined()
    else expect(found).toContain(why)
  })

  test.each<[string, (log: KeyObject) => Entry, object, string | undefined]>([
    ['as it should be', (log) => ({ log }), {}, undefined],
    ['without an entry', () => ({}), {}, 'no entry in a transparency log'],
    ['with an entry of another log', () => ({ log: kinds.ec().privateKey }), {}, 'none of the logs has promised'],
    ['with an entry of something else', (log) => ({ log, other: true }), {}, 'of another signature'],
    ['logged when the certificate was not valid', (log) => ({ log, at: 1_000_000 }), {}, 'was not valid at'],
    ['by another issuer', (log) => ({ log }), { oidcIssuer: 'https://other.example' }, 'given out for "https://issuer.example"'],
  ])('keyless: %s', async (_name, entry, change, why) => {
    const log = kinds.ec()
    await signWithCertificate('leaf', entry(log.privateKey))
    const fulcio = { caPath: file('ca.pem'), oidcIssuer: 'https://issuer.example', subjectEmail: 'me@example.com', ...change }
    const found = await check(policyOf({ fulcio, rekorPublicKeyData: Buffer.from(pemOf(log.publicKey)).toString('base64') }))
    if (why === undefined) expect(found).toBeUndefined()
    else expect(found).toContain(why)
  })
})

describe('a place behind a policy', () => {
  const put = (value: unknown, mediaType: string) => place.put(Buffer.from(JSON.stringify(value)), mediaType)
  const image = (name: string) => {
    const config = put({ name }, mediaTypes.ociConfig)
    return put({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }, mediaTypes.ociManifest)
  }

  test('lets out an index that is signed, with what it holds; else only images that are', async () => {
    const { publicKey: own, privateKey: key } = kinds.ec()
    const [one, two] = [image('one'), image('two')]
    const index = put({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [one, two] }, mediaTypes.ociIndex)
    await place.name(cx, index, '1')
    const signFor = async (what: Digest): Promise<void> => {
      const payload = writeClaim({ digest: what, reference }, claimTypes.sigstore, 't', 1)
      await attach(cx, place, what, payload, signPayload(key, payload))
    }
    const policy = keyed(own)

    await signFor(one.digest)
    const before = trusted(place, policy, origin, means)
    expect((await before.resolve(cx, '1')).digest).toBe(index.digest)
    await before.open(cx, one)
    await expect(before.open(cx, two)).rejects.toMatchObject({ code: 'denied', message: expect.stringContaining('it has no signature') })

    await signFor(index.digest)
    const after = trusted(place, policy, origin, means)
    await after.resolve(cx, '1')
    await after.open(cx, two)
  })

  test('a digest that is named is verified like a tag', async () => {
    const one = image('one')
    await expect(trusted(place, keyed(kinds.ec().publicKey), origin, means).resolve(cx, one.digest)).rejects.toMatchObject({
      code: 'denied',
    })
  })
})
