import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

test('logout --authfile changes the file that it names, and no other', () => {
  using shop = workshop('logout')
  const text = JSON.stringify({ auths: { 'r.example': { auth: Buffer.from('me:secret').toString('base64') } } })
  writeFileSync(shop.path('named.json'), text)
  writeFileSync(shop.path('other.json'), text)
  const env = { REGISTRY_AUTH_FILE: shop.path('other.json') }
  shop.must(['logout', '--authfile', shop.path('named.json'), 'r.example'], { env })
  expect(readFileSync(shop.path('named.json'), 'utf8')).not.toContain('r.example')
  expect(readFileSync(shop.path('other.json'), 'utf8')).toBe(text)
})

// Where Docker runs, docker-daemon: is its daemon.
const storeNames = ['containers-storage', ...(existsSync('/var/run/docker.sock') ? [] : ['docker-daemon'])]
test.each(storeNames)('push X %s:NAME stays on this machine', (transport) => {
  using shop = workshop('push-store')
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  // Nothing listens there: an upload would fail.
  shop.must(['push', '-q', 'busybox', `${transport}:127.0.0.1:9/x:1`])
  expect(shop.must(['images', '--format', '{{.Repository}}:{{.Tag}}'])).toContain('127.0.0.1:9/x:1')
})

test.each(['containers-storage', 'store'])('inspect %s:NAME is as skopeo shows it, and 2 says that there is none', (transport) => {
  using shop = workshop('inspect-store')
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  expect(JSON.parse(shop.must(['inspect', `${transport}:busybox`]))).toMatchObject({ Os: 'linux', RepoTags: [] })
  expect(JSON.parse(shop.must(['inspect', '--raw', `${transport}:busybox`]))).toMatchObject({ schemaVersion: 2 })
  expect(shop.stave(['inspect', `${transport}:nothing`]).status).toBe(2)
})

test('--compat-auth-file is a file of docker’s form, and no other is changed', () => {
  using shop = workshop('compat-auth')
  const auth = Buffer.from('me:secret').toString('base64')
  writeFileSync(shop.path('config.json'), JSON.stringify({ auths: { 'r.example': { auth } }, psFormat: 'table' }))
  expect(shop.must(['login', '--get-login', '--compat-auth-file', shop.path('config.json'), 'r.example'])).toBe('me')
  expect(shop.stave(['login', '--get-login', 'r.example']).status).toBe(1)
  shop.must(['logout', '--compat-auth-file', shop.path('config.json'), 'r.example'])
  expect(JSON.parse(readFileSync(shop.path('config.json'), 'utf8'))).toEqual({ auths: {}, psFormat: 'table' })
  const both = ['logout', '--compat-auth-file', 'a', '--authfile', 'b', 'r.example']
  expect(shop.stave(both)).toMatchObject({ status: 2 })
})
