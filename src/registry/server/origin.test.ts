import { expect, test } from 'vitest'
import { checkOrigin, type Names } from './origin.ts'

const loopback = { host: '127.0.0.1', allowed: [] }
const open = { host: '0.0.0.0', allowed: [] }
const named = { host: '0.0.0.0', allowed: ['registry.example'] }

test.each<[name: string, headers: Record<string, string>, names: Names, status: number | undefined]>([
  ['a client', { host: '127.0.0.1:5000' }, loopback, undefined],
  ['a client, by name', { host: 'localhost:5000' }, loopback, undefined],
  ['a client, by IPv6', { host: '[::1]:5000' }, loopback, undefined],
  ['its own page', { host: 'localhost:5000', origin: 'http://localhost:5000', 'sec-fetch-site': 'same-origin' }, loopback, undefined],
  ['a person who typed its address', { host: 'localhost:5000', 'sec-fetch-site': 'none' }, loopback, undefined],
  ['a name that leads here by rebinding', { host: 'evil.example:5000' }, loopback, 403],
  ['another address', { host: '10.0.0.1:5000' }, loopback, 403],
  ['a page of another site', { host: '127.0.0.1:5000', origin: 'https://evil.example' }, loopback, 403],
  ['a page of another port', { host: '127.0.0.1:5000', origin: 'http://127.0.0.1:8000' }, loopback, 403],
  ['a page without an origin', { host: '127.0.0.1:5000', origin: 'null' }, loopback, 403],
  ['an image in a page of another site', { host: '127.0.0.1:5000', 'sec-fetch-site': 'cross-site' }, loopback, 403],
  ['no name', {}, loopback, 400],
  ['a name with a path', { host: '127.0.0.1/x' }, loopback, 400],
  ['a name with a user', { host: 'u@127.0.0.1' }, loopback, 400],
  ['a name with a line in it', { host: '127.0.0.1\r\nx: y' }, loopback, 400],
  ['any name, where others reach it', { host: 'registry.corp:5000' }, open, undefined],
  ['another site, where others reach it', { host: 'registry.corp:5000', origin: 'https://evil.example' }, open, 403],
  ['the name that it was told', { host: 'Registry.example' }, named, undefined],
  ['another name than it was told', { host: 'registry.corp' }, named, 403],
  ['loopback, with names told', { host: 'localhost:5000' }, named, undefined],
])('%s', (_, headers, names, status) => {
  const check = () => checkOrigin(headers, names)
  if (status === undefined) expect(check).not.toThrow()
  else expect(check).toThrow(expect.objectContaining({ status }))
})
