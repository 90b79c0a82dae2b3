import { readFileSync, writeFileSync } from 'node:fs'
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

test.each(['docker-daemon', 'containers-storage'])('push X %s:NAME stays on this machine', (transport) => {
  using shop = workshop('push-store')
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  // Nothing listens there: an upload would fail.
  shop.must(['push', '-q', 'busybox', `${transport}:127.0.0.1:9/x:1`])
  expect(shop.must(['images', '--format', '{{.Repository}}:{{.Tag}}'])).toContain('127.0.0.1:9/x:1')
})
