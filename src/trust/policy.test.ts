import { describe, expect, test } from 'vitest'
import { parseReference } from '#oci/reference.ts'
import { accepts, type SignedIdentity } from './identity.ts'
import { parsePolicy } from './policy.ts'
import { pathScopes, rulingFor, type Origin } from './scope.ts'

const parse = (value: unknown) => parsePolicy(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), 'policy.json')
const accept = [{ type: 'insecureAcceptAnything' }]
const reject = [{ type: 'reject' }]

describe('a policy that cannot be read whole is refused', () => {
  test.each<[string, unknown]>([
    ['no JSON', '{'],
    ['no object', []],
    ['no default', { transports: {} }],
    ['another key', { default: accept, more: 1 }],
    ['no requirement', { default: [] }],
    ['a requirement that is none', { default: ['reject'] }],
    ['an unknown type', { default: [{ type: 'insecureAcceptAnythin' }] }],
    ['another key in a requirement', { default: [{ type: 'reject', really: true }] }],
    ['signedBy without a key', { default: [{ type: 'signedBy', keyType: 'GPGKeys' }] }],
    ['signedBy with another kind of key', { default: [{ type: 'signedBy', keyType: 'X509', keyPath: '/k' }] }],
    ['two forms of a key', { default: [{ type: 'sigstoreSigned', keyPath: '/k', keyData: 'eA==' }] }],
    ['an empty list of keys', { default: [{ type: 'sigstoreSigned', keyPaths: [] }] }],
    ['neither keys nor certificates', { default: [{ type: 'sigstoreSigned' }] }],
    ['both of them', { default: [{ type: 'sigstoreSigned', keyPath: '/k', pki: { caRootsPath: '/c', subjectEmail: 'a@b' } }] }],
    ['fulcio without a log', { default: [{ type: 'sigstoreSigned', fulcio: { caPath: '/c', oidcIssuer: 'x', subjectEmail: 'y' } }] }],
    [
      'fulcio without an issuer',
      { default: [{ type: 'sigstoreSigned', rekorPublicKeyPath: '/r', fulcio: { caPath: '/c', subjectEmail: 'y' } }] },
    ],
    ['pki without a subject', { default: [{ type: 'sigstoreSigned', pki: { caRootsPath: '/c' } }] }],
    ['an identity that is none', { default: [{ type: 'sigstoreSigned', keyPath: '/k', signedIdentity: { type: 'matchAll' } }] }],
    ['an identity without its field', { default: [{ type: 'sigstoreSigned', keyPath: '/k', signedIdentity: { type: 'exactReference' } }] }],
    [
      'an identity with another field',
      { default: [{ type: 'sigstoreSigned', keyPath: '/k', signedIdentity: { type: 'matchExact', x: 1 } }] },
    ],
    ['transports that are none', { default: accept, transports: { docker: [] } }],
  ])('%s', (_name, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'invalid-document' }))
  })

  test('the default identity, keys in either form', () => {
    const [requirement] = parse({ default: [{ type: 'sigstoreSigned', keyDatas: ['eA==', 'eQ=='] }] }).default
    expect(requirement).toEqual({
      type: 'sigstoreSigned',
      keys: [{ data: Buffer.from('x') }, { data: Buffer.from('y') }],
      rekor: [],
      identity: { type: 'matchRepoDigestOrExact' },
    })
  })
})

const docker = (name: string): Origin => ({ transport: 'docker', reference: parseReference(name) })

test.each<[string, Origin, readonly string[], string]>([
  ['nothing fits', docker('a.b.example/x'), ['other.example'], 'default'],
  ['the registry', docker('a.b.example/x/y:1'), ['a.b.example'], 'a.b.example'],
  ['a namespace before the registry', docker('a.b.example/x/y:1'), ['a.b.example', 'a.b.example/x'], 'a.b.example/x'],
  ['no part of a namespace', docker('a.b.example/xx/y'), ['a.b.example/x'], 'default'],
  ['the tag before the repository', docker('a.b.example/x:1'), ['a.b.example/x', 'a.b.example/x:1'], 'a.b.example/x:1'],
  ['another tag', docker('a.b.example/x:2'), ['a.b.example/x:1'], 'default'],
  ['a wildcard', docker('a.b.example/x'), ['*.example', '*.b.example'], '*.b.example'],
  ['a wildcard after the registry', docker('a.b.example/x'), ['*.b.example', 'a.b.example'], 'a.b.example'],
  ['a wildcard is no part of a label', docker('evilexample/x'), ['*.example'], 'default'],
  ['a short name', docker('busybox'), ['docker.io/library/busybox'], 'docker.io/library/busybox'],
  ['the transport itself', docker('busybox'), [''], ''],
  ['a path', { transport: 'oci', scopes: pathScopes('/srv/l', 'tag') }, ['/srv'], '/srv'],
  ['a path with its name', { transport: 'oci', scopes: pathScopes('/srv/l', 'tag') }, ['/srv/l', '/srv/l:tag'], '/srv/l:tag'],
])('the rule for %s', (_name, origin, scopes, expected) => {
  const policy = parse({ default: reject, transports: { [origin.transport]: Object.fromEntries(scopes.map((scope) => [scope, accept])) } })
  const { rule, requirements } = rulingFor(policy, origin)
  expect(rule).toBe(expected === 'default' ? 'default' : `transports.${origin.transport}.${JSON.stringify(expected)}`)
  expect(requirements).toEqual(expected === 'default' ? reject : accept)
})

const digest = `sha256:${'a'.repeat(64)}`

test.each<[SignedIdentity, string, string, boolean]>([
  [{ type: 'matchExact' }, 'h/x:1', 'h/x:1', true],
  [{ type: 'matchExact' }, 'h/x:1', 'h/x:2', false],
  [{ type: 'matchExact' }, 'h/x:1', 'h/x', false],
  [{ type: 'matchRepoDigestOrExact' }, 'h/x:1', 'h/x:1', true],
  [{ type: 'matchRepoDigestOrExact' }, 'h/x:1', 'h/x:2', false],
  [{ type: 'matchRepoDigestOrExact' }, `h/x@${digest}`, 'h/x:2', true],
  [{ type: 'matchRepoDigestOrExact' }, `h/x@${digest}`, 'h/y:2', false],
  [{ type: 'matchRepository' }, 'h/x:1', 'h/x:2', true],
  [{ type: 'matchRepository' }, 'h/x:1', 'h/x', true],
  [{ type: 'matchRepository' }, 'h/x:1', 'g/x:1', false],
  [{ type: 'exactReference', dockerReference: 'h/z:9' }, 'h/x:1', 'h/z:9', true],
  [{ type: 'exactReference', dockerReference: 'h/z:9' }, 'h/x:1', 'h/x:1', false],
  [{ type: 'exactRepository', dockerRepository: 'h/z' }, 'h/x:1', 'h/z:9', true],
  [{ type: 'remapIdentity', prefix: 'mirror.example/a', signedPrefix: 'h.example' }, 'mirror.example/a/x:1', 'h.example/x:1', true],
  [{ type: 'remapIdentity', prefix: 'mirror.example/a', signedPrefix: 'h.example' }, 'mirror.example/ab/x:1', 'h.example/x:1', false],
  [{ type: 'remapIdentity', prefix: 'mirror.example/a', signedPrefix: 'h.example' }, 'other/x:1', 'other/x:1', true],
  [{ type: 'matchRepository' }, 'h/x:1', 'not a reference', false],
])('%j: %s signed as %s: %s', (identity, wanted, signed, expected) => {
  expect(accepts(identity, parseReference(wanted), signed)).toBe(expected)
})
