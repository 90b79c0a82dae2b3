import { expect, test, vi } from 'vitest'
import dns from 'node:dns'
import { promisify } from 'node:util'
import { background } from '#context.ts'
import { createAuthenticator } from './auth.ts'
import { leadsInside, lookup, mayLeadTo } from './reach.ts'

const names: Readonly<Record<string, boolean>> = { 'r.example': false, 'cdn.example': false, 'r.corp': true, 'minio.corp': true }

test.each<[from: string, to: string, may: boolean]>([
  ['https://r.example', 'https://cdn.example/x', true],
  ['https://r.example', 'https://r.example:8443/x', true],
  ['https://r.example', 'https://minio.corp/x', false],
  ['https://r.corp', 'https://minio.corp/x', true],
  ['https://r.corp', 'https://cdn.example/x', true],
])('%s may lead to %s: %s', async (from, to, may) => {
  expect(await mayLeadTo(new URL(from), new URL(to), async (hostname) => names[hostname]!)).toBe(may)
})

// Addresses need no look-up; 203.0.113.1 is one of the internet.
test.each([
  ['http://127.0.0.1/x', false],
  ['http://2130706433/x', false],
  ['http://0x7f.1/x', false],
  ['http://localhost./x', false],
  ['http://169.254.169.254/latest/meta-data', false],
  ['http://192.168.0.1/x', false],
  ['http://[::1]/x', false],
  ['http://[fe80::1]/x', false],
  ['http://[::ffff:10.0.0.1]/x', false],
  ['http://[64:ff9b::a9fe:a9fe]/x', false],
  ['http://[64:ff9b:1::1]/x', false],
  ['http://[2002:7f00:1::]/x', false],
  ['http://[64:ff9b::808:808]/x', true],
  ['http://8.8.8.8/x', true],
])('a registry of the internet, to %s: %s', async (to, may) => {
  expect(await mayLeadTo(new URL('https://8.8.4.4'), new URL(to))).toBe(may)
  expect(await mayLeadTo(new URL('https://10.0.0.1'), new URL(to))).toBe(true)
})

test.each(['https://127.0.0.1/token', 'https://169.254.169.254/latest', 'https://[64:ff9b::c0a8:1]/token'])(
  'no credentials are sent to the token server %s of a registry of the internet',
  async (address) => {
    const asked: string[] = []
    const authenticator = createAuthenticator(async (_, { url }) => {
      asked.push(url.href)
      throw new Error('asked')
    })
    const credential = { kind: 'password', username: 'u', password: 'p', from: 'x' } as const
    const realm = { origin: new URL('https://8.8.8.8'), registry: 'r', isInsecure: false, credential: async () => credential }
    const headers = { 'www-authenticate': `Bearer realm="${address}"` }
    await expect(authenticator.answer(background, realm, [], headers, undefined)).rejects.toThrow('private address')
    expect(asked).toEqual([])
  },
)

test('a name that is outside when it is checked, and inside when it is connected to, is not connected to', async () => {
  const answers = (...addresses: string[]) => addresses.map((address) => ({ address, family: 4 }))
  const resolve = vi
    .spyOn(dns, 'lookup')
    .mockImplementation(((_name: string, _options: object, done: (...all: unknown[]) => void) =>
      done(null, answers('203.0.113.1', '169.254.169.254'))) as never)
  const check = vi.spyOn(dns.promises, 'lookup').mockResolvedValue(answers('203.0.113.1') as never)
  try {
    const connect = (name: string): Promise<unknown> => promisify(lookup)(name, { all: true })
    await expect(connect('never-checked.example')).resolves.toEqual(answers('203.0.113.1', '169.254.169.254'))
    expect(await leadsInside('rebound.example')).toBe(false)
    await expect(connect('rebound.example')).rejects.toThrow('it is a private address now (169.254.169.254)')
    // What cannot be looked up while it is checked is held to the same.
    check.mockRejectedValueOnce(new Error('no answer'))
    expect(await leadsInside('late.example')).toBe(false)
    await expect(connect('late.example')).rejects.toThrow('it is a private address now')
  } finally {
    resolve.mockRestore()
    check.mockRestore()
  }
})
