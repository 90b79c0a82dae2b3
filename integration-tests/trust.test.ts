/** Signatures and policies, beside those of skopeo and gpg: what one has signed the other verifies, and refuses where it must. */
import { execFileSync, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, embeddedRegistry, workshop, type Outcome } from './stave.ts'

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const shop = workshop('trust')
let host: string
let registry: ChildProcess
let fingerprint: string
const gnupg = (): string => shop.path('gnupg')
const policyFile = (name: string): string => shop.path(`${name}.json`)

function policy(name: string, requirement: object): string {
  const requirements = [{ signedIdentity: { type: 'matchRepository' }, ...requirement }]
  writeFileSync(policyFile(name), JSON.stringify({ default: [{ type: 'reject' }], transports: { docker: { [host]: requirements } } }))
  return policyFile(name)
}

function expectDenied(outcome: Outcome, ...said: readonly string[]): void {
  expect(outcome.status).toBe(1)
  for (const text of said) expect(outcome.stderr).toContain(text)
}

beforeAll(async () => {
  ;({ host, process: registry } = await embeddedRegistry(shop))
  shop.must(['import', busyboxTar(), 'base'])
  for (const name of ['signed', 'plain', 'by-skopeo', 'by-gpg']) shop.must(['push', '-q', 'base', `docker://${host}/${name}:1`])
  writeFileSync(shop.path('passphrase'), 'correct horse\n')
  shop.must(['generate-sigstore-key', '--output-prefix', 'key', '--passphrase-file', 'passphrase'])
  shop.must(['generate-sigstore-key', '--output-prefix', 'other', '--passphrase-file', 'passphrase'])
  mkdirSync(shop.path('registries.d'))
  writeFileSync(
    shop.path('registries.d/here.yaml'),
    `docker:\n  ${host}:\n    use-sigstore-attachments: true\n    lookaside: file://${shop.path('lookaside')}\n    sigstore: file://${shop.path('lookaside')}\n`.replace(
      /\n {4}lookaside.*/,
      '',
    ),
  )
  if (has('gpg')) {
    mkdirSync(gnupg(), { mode: 0o700 })
    const env = { ...process.env, GNUPGHOME: gnupg() }
    execFileSync('gpg', ['--batch', '--passphrase', '', '--quick-gen-key', 'test@example.com', 'rsa2048', 'sign', 'never'], {
      env,
      stdio: 'ignore',
    })
    const keys = execFileSync('gpg', ['--list-keys', '--with-colons'], { env, encoding: 'utf8' })
    fingerprint = /^fpr:+([0-9A-F]+):/m.exec(keys)![1]!
    writeFileSync(shop.path('ring.gpg'), execFileSync('gpg', ['--export', '--armor'], { env }))
  }
}, 60_000)
afterAll(() => {
  registry?.kill()
  shop[Symbol.dispose]()
})

const sign = (name: string): string =>
  shop.must(['sign', '-q', '--key', 'key.private', '--passphrase-file', 'passphrase', `docker://${host}/${name}:1`])
const skopeo = (...args: readonly string[]): Outcome => {
  const { status, stdout, stderr } = spawnSync('skopeo', ['--registries.d', shop.path('registries.d'), ...args], {
    cwd: shop.directory,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: shop.directory, GNUPGHOME: gnupg() },
  })
  return { status, stdout, stderr }
}

test('a private key is for its owner alone, and is not overwritten', () => {
  expect(statSync(shop.path('key.private')).mode & 0o777).toBe(0o600)
  const again = shop.stave(['generate-sigstore-key', '--output-prefix', 'key', '--passphrase-file', 'passphrase'])
  expectDenied(again, 'it is there already')
})

describe('sign and verify', () => {
  test('prints the digest that was signed; another key, another image and another name are refused', () => {
    const digest = sign('signed')
    expect(shop.must(['verify', '--key', 'key.pub', `docker://${host}/signed:1`])).toBe(digest)
    expectDenied(shop.stave(['verify', '--key', 'other.pub', `docker://${host}/signed:1`]), 'by no key')
    expectDenied(shop.stave(['verify', '--key', 'key.pub', `docker://${host}/plain:1`]), 'it has no signature')
    expectDenied(shop.stave(['verify', '--key', 'key.pub', '--signed-identity', 'exact', `docker://${host}/signed@${digest}`]), 'it is for')
  })

  test('a wrong passphrase, and none', () => {
    const wrong = { COSIGN_PASSWORD: 'wrong' }
    expectDenied(shop.stave(['sign', '--key', 'key.private', `docker://${host}/signed:1`], { env: wrong }), 'the passphrase is wrong')
  })
})

describe('a policy', () => {
  const lets = (name: string, file: string): Outcome[] => [
    shop.stave(['copy', '-q', '--policy', file, `docker://${host}/${name}:1`, `oci:${shop.path('out')}:x`]),
    shop.stave(['pull', '-q', '--signature-policy', file, `${host}/${name}:1`]),
    shop.stave(['run', '--rm', '--pull=always', '--signature-policy', file, `${host}/${name}:1`, 'true']),
    shop.stave(['build', '-q', '--pull', '--signature-policy', file, '-f', '-', shop.directory], { input: `FROM ${host}/${name}:1\n` }),
    shop.stave(['sync', '--policy', file, '--src', 'docker', '--dest', 'dir', `${host}/${name}:1`, shop.path('synced')]),
  ]

  test('lets through what is signed, wherever images are brought from', () => {
    sign('signed')
    const file = policy('keyed', { type: 'sigstoreSigned', keyPath: shop.path('key.pub') })
    for (const outcome of lets('signed', file)) expect(outcome).toMatchObject({ status: 0 })
  })

  test('refuses what is not, by the rule, and leaves nothing', () => {
    const file = policy('keyed', { type: 'sigstoreSigned', keyPath: shop.path('key.pub') })
    for (const outcome of lets('plain', file))
      expect(outcome.stderr).toContain(`(transports.docker."${host}") says sigstoreSigned: it has no signature`)
    for (const outcome of lets('plain', file)) expect(outcome.status).not.toBe(0)
    expect(shop.must(['images', '-q', `${host}/plain`])).toBe('')
    expect(shop.stave(['pull', '-q', '--insecure-policy', `${host}/plain:1`]).status).toBe(0)
    shop.must(['rmi', `${host}/plain:1`])
  })

  test('is found where containers have it, before the command too; a broken one lets nothing through', () => {
    mkdirSync(shop.path('.config/containers'), { recursive: true })
    const home = shop.path('.config/containers/policy.json')
    writeFileSync(home, JSON.stringify({ default: [{ type: 'reject' }] }))
    expectDenied(shop.stave(['pull', `${host}/signed:1`]), 'says reject')
    expect(shop.stave(['--insecure-policy', 'copy', '-q', `docker://${host}/signed:1`, `oci:${shop.path('o2')}:x`]).status).toBe(0)
    writeFileSync(home, '{"default":[{"type":"rejct"}]}')
    expectDenied(shop.stave(['pull', `${host}/signed:1`]), 'there is no requirement of type "rejct"')
    writeFileSync(home, '{"default":[{"type":"insecureAcceptAnything"}]}')
    expect(shop.stave(['pull', '-q', `${host}/signed:1`]).status).toBe(0)
    expectDenied(shop.stave(['--policy', '/nonexistent', 'copy', `docker://${host}/signed:1`, 'oci:x:y']), 'there is no such file')
  })
})

/** Debian builds its skopeo without. */
const knowsSigstore = has('skopeo') && spawnSync('sh', ['-c', 'grep -q "sigstore disabled" "$(command -v skopeo)"']).status !== 0

describe.skipIf(!has('skopeo') || !has('gpg'))('beside skopeo and gpg', () => {
  const flags = ['--src-tls-verify=false']

  test.skipIf(!knowsSigstore)('skopeo accepts what we have signed, and not with another key', () => {
    sign('signed')
    const own = policy('own', { type: 'sigstoreSigned', keyPath: shop.path('key.pub') })
    const other = policy('foreign', { type: 'sigstoreSigned', keyPath: shop.path('other.pub') })
    expect(skopeo('--policy', own, 'copy', ...flags, `docker://${host}/signed:1`, `dir:${shop.path('d1')}`)).toMatchObject({ status: 0 })
    expect(skopeo('--policy', other, 'copy', ...flags, `docker://${host}/signed:1`, `dir:${shop.path('d2')}`).status).not.toBe(0)
  })

  test.skipIf(!knowsSigstore)('we accept what skopeo has signed by our key', () => {
    const signing = ['--sign-by-sigstore-private-key', 'key.private', '--sign-passphrase-file', 'passphrase']
    const copied = skopeo(
      '--insecure-policy',
      'copy',
      ...flags,
      '--dest-tls-verify=false',
      ...signing,
      `docker://${host}/plain:1`,
      `docker://${host}/by-skopeo:1`,
    )
    expect(copied).toMatchObject({ status: 0 })
    shop.must(['verify', '--key', 'key.pub', `docker://${host}/by-skopeo:1`])
    expectDenied(shop.stave(['verify', '--key', 'other.pub', `docker://${host}/by-skopeo:1`]), 'by no key')
  })

  test('signatures of GPG beside the registry', () => {
    const gpg = policy('gpg', { type: 'signedBy', keyType: 'GPGKeys', keyPath: shop.path('ring.gpg') })
    const pull = (name: string): Outcome =>
      shop.stave([
        'copy',
        '-q',
        '--policy',
        gpg,
        '--registries.d',
        shop.path('registries.d'),
        `docker://${host}/${name}:1`,
        `oci:${shop.path('g')}:x`,
      ])
    expectDenied(pull('by-gpg'), 'says signedBy: it has no signature')
    const copied = skopeo(
      '--insecure-policy',
      'copy',
      ...flags,
      '--dest-tls-verify=false',
      '--sign-by',
      fingerprint,
      `docker://${host}/plain:1`,
      `docker://${host}/by-gpg:1`,
    )
    expect(copied).toMatchObject({ status: 0 })
    expect(pull('by-gpg')).toMatchObject({ status: 0 })
  })

  test('standalone signatures, both ways', () => {
    const env = { GNUPGHOME: gnupg() }
    writeFileSync(shop.path('manifest.json'), shop.must(['inspect', '--raw', `docker://${host}/plain:1`]))
    const [manifest, name] = ['manifest.json', `${host}/plain:1`]
    shop.must(['standalone-sign', manifest, name, fingerprint, '-o', 'sig'], { env })
    expect(skopeo('standalone-verify', manifest, name, fingerprint, 'sig')).toMatchObject({ status: 0 })
    expect(skopeo('standalone-sign', manifest, name, fingerprint, '-o', 'sig2')).toMatchObject({ status: 0 })
    expect(shop.must(['standalone-verify', manifest, name, fingerprint, 'sig2'], { env })).toContain('Signature verified')
    expect(shop.must(['standalone-verify', '--public-key-file', 'ring.gpg', manifest, name, 'any', 'sig2'])).toContain(fingerprint)
    expectDenied(shop.stave(['standalone-verify', manifest, `${host}/other:1`, fingerprint, 'sig2'], { env }), 'it is for')
    const bytes = readFileSync(shop.path('sig2'))
    bytes[bytes.length - 20]! ^= 1
    writeFileSync(shop.path('sig2'), bytes)
    expectDenied(shop.stave(['standalone-verify', manifest, name, fingerprint, 'sig2'], { env }), 'no key of the ring')
  })

  test('copy signs into the lookaside, takes signatures along, and leaves them behind when told', () => {
    const [registries, name] = [['--registries.d', shop.path('registries.d')], `${host}/copied:1`]
    const env = { GNUPGHOME: gnupg() }
    const must = (...args: readonly string[]) => shop.must(['copy', '-q', ...registries, ...args], { env })
    must('--sign-by', fingerprint, 'base', `docker://${name}`)
    const gpg = policy('copied', { type: 'signedBy', keyType: 'GPGKeys', keyPath: shop.path('ring.gpg') })
    for (const tool of [skopeo, (...args: readonly string[]) => shop.stave([...registries, ...args])]) {
      const outcome = tool('--policy', gpg, 'copy', '--src-tls-verify=false', `docker://${name}`, `dir:${shop.path('verified')}`)
      expect([outcome.status, outcome.stderr]).toEqual([0, outcome.stderr])
    }
    // A directory has them beside the image, and skopeo reads what was written there.
    must(`docker://${name}`, 'dir:signed')
    expect(readFileSync(shop.path('signed/signature-1')).length).toBeGreaterThan(100)
    must('--remove-signatures', `docker://${name}`, 'dir:unsigned')
    expect(existsSync(shop.path('unsigned/signature-1'))).toBe(false)
    must('dir:signed', `docker://${host}/again:1`)
    expect(shop.stave(['copy', '-q', ...registries, '--policy', gpg, `docker://${host}/again:1`, 'oci:again:1']).status).toBe(1)
    must('--sign-by', fingerprint, '--sign-identity', name, 'dir:unsigned', 'dir:identified')
    expect(
      shop.must(['standalone-verify', '--public-key-file', 'ring.gpg', 'identified/manifest.json', name, 'any', 'identified/signature-1']),
    ).toContain(fingerprint)

    // What cannot be signed is not copied.
    const failed = shop.stave(['copy', '-q', ...registries, '--sign-by', 'nobody@example.com', 'base', `docker://${host}/failed:1`], {
      env,
    })
    expectDenied(failed, 'gpg')
    expect(shop.stave(['image', 'digest', `docker://${host}/failed:1`]).status).toBe(2)
    expectDenied(shop.stave(['copy', '-q', '--sign-by', fingerprint, 'base', 'oci:failed:1'], { env }), 'no place for signatures')
    expect(shop.stave(['copy', '-q', '--sign-by', fingerprint, 'base', 'dir:nameless'], { env }).status).toBe(2)
  })

  test('copy signs for sigstore as sign does', () => {
    const key = ['--sign-by-sigstore-private-key', 'key.private', '--sign-passphrase-file', 'passphrase']
    shop.must(['copy', '-q', ...key, 'base', `docker://${host}/by-copy:1`])
    expect(shop.must(['verify', '--key', 'key.pub', `docker://${host}/by-copy:1`])).toContain('sha256:')
  })
})
