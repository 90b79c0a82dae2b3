import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { workshop } from './stave.ts'

const shop = workshop('explain')
afterAll(() => shop[Symbol.dispose]())

const secret = 'correct-horse-battery'
const basic = (user: string) => Buffer.from(`${user}:${secret}`).toString('base64')

beforeAll(() => {
  for (const directory of ['.config/containers/certs.d/mirror.example:5000', '.docker', 'app/etc'])
    mkdirSync(shop.path(directory), { recursive: true })
  writeFileSync(
    shop.path('.config/containers/registries.conf'),
    `[[registry]]
prefix = "docker.io/library"
location = "docker.io/library"
[[registry.mirror]]
location = "mirror.example:5000/hub"
insecure = true
pull-from-mirror = "digest-only"
`,
  )
  writeFileSync(
    shop.path('.config/containers/auth.json'),
    JSON.stringify({ auths: { 'ghcr.io/acme': { auth: basic('ann') }, 'mirror.example:5000': { auth: basic('bob') } } }),
  )
  writeFileSync(shop.path('.docker/config.json'), JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth: basic('carl') } } }))
  writeFileSync(
    shop.path('.config/containers/policy.json'),
    JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports: { docker: { 'ghcr.io/acme': [{ type: 'reject' }] } } }),
  )
})

const env = { HTTPS_PROXY: 'http://proxyuser:proxysecret@proxy.example:3128', XDG_RUNTIME_DIR: '' }
const said = (...words: readonly string[]) => {
  const text = shop.must(words, { env })
  expect(text).not.toMatch(new RegExp(`${secret}|proxysecret|${basic('ann')}`))
  return text
}

test('mirrors, TLS, proxy, credentials and policy of a name, with the files that say so', () => {
  expect(
    said('config', 'explain', 'debian:12')
      .split('\n')
      .map((line) => line.trim()),
  ).toEqual([
    'docker.io/library/debian:12',
    `registries.conf  ${shop.path('.config/containers/registries.conf')}, the table of docker.io/library`,
    'read from  mirror.example:5000/hub/debian (by digest alone)',
    `TLS          https, else http; certificates are not verified, with those of ${shop.path('.config/containers/certs.d/mirror.example:5000')}`,
    'proxy        http://proxy.example:3128',
    'credentials  a password of bob, from ~/.config/containers/auth.json',
    'then read from, and written to  registry-1.docker.io/library/debian',
    'TLS          https; certificates are verified',
    'proxy        http://proxy.example:3128',
    'credentials  a password of carl, from ~/.docker/config.json',
    `policy  ${shop.path('.config/containers/policy.json')}, default: insecureAcceptAnything`,
  ])
  expect(JSON.parse(said('config', 'explain', '--json', 'docker://ghcr.io/acme/web'))).toMatchObject({
    reference: 'ghcr.io/acme/web:latest',
    endpoints: [{ host: 'ghcr.io', credential: { kind: 'password', user: 'ann' } }],
    policy: { rule: 'transports.docker."ghcr.io/acme"', requirements: ['reject'] },
  })
  expect(said('config', 'explain', 'localhost:5000/a')).toMatch(/TLS +http, else https/)
})

test('the credentials of a name, and what each file has for it', () => {
  const lines = said('auth', 'explain', 'ghcr.io/acme/web')
    .split('\n')
    .map((line) => line.trim())
  expect(lines).toContain(`${shop.path('.config/containers/auth.json')}: has an entry ghcr.io/acme`)
  expect(lines).toContain(`${shop.path('.docker/config.json')}: has nothing for it`)
  expect(lines).toContain('uses  a password of ann, from ~/.config/containers/auth.json')
  expect(said('auth', 'explain', 'ghcr.io/other/web')).toContain('uses  none')
  expect(said('auth', 'explain', '--creds', `dora:${secret}`, 'ghcr.io/acme/web')).toContain(
    'uses  a password of dora, from the command line',
  )
})

test('crane’s config is still that of an image, and the group has its own help', () => {
  expect(shop.stave(['config', 'oci:none']).stderr).toContain('none')
  expect(shop.must(['config', '--help'])).toContain('config explain')
})

test('two images, their files and config; two manifests', () => {
  const build = (tag: string, more: string) => {
    writeFileSync(shop.path('app/Dockerfile'), `FROM scratch\nCOPY etc /etc\n${more}`)
    shop.must(['build', '-q', '-t', tag, shop.path('app')])
  }
  writeFileSync(shop.path('app/etc/passwd'), 'root')
  build('web:1', 'ENV A=1\n')
  writeFileSync(shop.path('app/etc/passwd'), 'root\nann')
  writeFileSync(shop.path('app/etc/new'), 'x')
  build('web:2', 'ENV A=2\n')
  const { status, stdout } = shop.stave(['image', 'diff', 'web:1', 'web:2'])
  expect(status).toBe(1)
  expect(stdout).toMatch(/-\s+"A=1"/)
  expect(stdout).toMatch(/\+ \/etc\/new {2}1 B\n/)
  expect(stdout).toMatch(/~ \/etc\/passwd {2}content, 4 B → 8 B\n/)
  expect(shop.stave(['image', 'diff', 'web:1', 'web:1']).status).toBe(0)
  expect(JSON.parse(shop.stave(['image', 'diff', '--json', '--files=false', 'web:1', 'web:2']).stdout)).toMatchObject({
    layers: { common: [] },
    files: [],
  })
  const manifests = shop.stave(['manifest', 'diff', '--context', '0', 'web:1', 'web:2'])
  expect([manifests.status, manifests.stdout.split('\n').filter((line) => line.includes('digest')).length]).toEqual([1, 4])
  expect(shop.must(['manifest', 'diff', 'web:1', 'web:1'])).toBe('')
})
