import { describe, expect, test } from 'vitest'
import { isLoopback, isPrivateHost } from '#text/address.ts'
import { formatScopes, parseScopes, realmUrl } from './auth.ts'

const realm = (origin: string, isInsecure = false) => ({ origin: new URL(origin), registry: 'r.example', isInsecure })
const bearer = (address: string) => ({ scheme: 'bearer', parameters: { realm: address } })

describe('a token server', () => {
  test.each([
    ['on another https host', 'https://r.example', 'https://auth.example/token'],
    ['named by its path', 'https://r.example', '/token'],
    ['of a registry on loopback', 'http://127.0.0.1:5000', 'http://127.0.0.1:5001/token'],
    ['of a private registry at its own address', 'https://10.1.2.3', 'https://10.1.2.3:8443/token'],
  ])('%s is accepted', (_, origin, address) => {
    expect(realmUrl(realm(origin), bearer(address)).protocol).toMatch(/^https?:$/)
  })

  test.each([
    ['over plain http', 'https://r.example', 'http://auth.example/token', 'plain http'],
    ['over plain http on the same host', 'https://r.example', 'http://r.example/token', 'plain http'],
    ['with a password in its address', 'https://r.example', 'https://u:p@auth.example/token', 'user name'],
    ['that is a file', 'https://r.example', 'file:///etc/passwd', 'not reached over http'],
    ['without a host', 'https://r.example', 'https://', 'no valid address'],
  ])('%s is refused', (_, origin, address, why) => {
    expect(() => realmUrl(realm(origin), bearer(address))).toThrow(why)
  })

  test('of an insecure registry may use plain http', () => {
    expect(realmUrl(realm('http://r.example', true), bearer('http://auth.example/token')).href).toBe('http://auth.example/token')
  })
})

test('scopes of one resource are united, and keep their order', () => {
  const scopes = [...parseScopes('repository:a/b:pull repository:c:pull,push'), ...parseScopes('repository:a/b:push')]
  expect(formatScopes(scopes)).toEqual(['repository:a/b:pull,push', 'repository:c:pull,push'])
})

test('scopes with a port, a class and nonsense are read', () => {
  expect(parseScopes('repository:host:5000/a:pull repository(plugin):x:* registry:catalog:* nonsense repository::')).toEqual([
    { type: 'repository', name: 'host:5000/a', actions: ['pull'] },
    { type: 'repository', name: 'x', actions: ['*'] },
    { type: 'registry', name: 'catalog', actions: ['*'] },
  ])
})

test.each([
  ['localhost', true, true],
  ['127.8.9.1', true, true],
  ['[::1]', true, true],
  ['x.localhost', true, true],
  ['10.0.0.1', false, true],
  ['172.31.0.1', false, true],
  ['[fd00::1]', false, true],
  ['172.32.0.1', false, false],
  ['localhost.example.com', false, false],
  ['127.0.0.1.example.com', false, false],
  ['ghcr.io', false, false],
])('%s: loopback %s, private %s', (host, loopback, isPrivate) => {
  expect([isLoopback(host), isPrivateHost(host)]).toEqual([loopback, isPrivate])
})
