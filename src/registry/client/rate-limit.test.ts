import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { parseReference } from '#oci/reference.ts'
import { readRateLimit } from './rate-limit.ts'
import { createRegistryClient } from './registry.ts'

test.each([
  [{}, undefined],
  [{ 'ratelimit-remaining': 'x' }, undefined],
  [{ 'ratelimit-limit': '100' }, undefined],
  [{ 'ratelimit-remaining': '7' }, { remaining: 7, limit: undefined, windowS: undefined, source: undefined }],
  [
    { 'ratelimit-remaining': '98;w=21600', 'ratelimit-limit': '100;w=21600', 'docker-ratelimit-source': '192.0.2.1' },
    { remaining: 98, limit: 100, windowS: 21_600, source: '192.0.2.1' },
  ],
  [
    { 'ratelimit-remaining': '0 ; w=60', 'ratelimit-limit': '5' },
    { remaining: 0, limit: 5, windowS: 60, source: undefined },
  ],
])('%j', (headers, expected) => {
  expect(readRateLimit(headers)).toEqual(expected)
})

test('is asked for by a HEAD of the manifest, which counts as no pull', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(200, { 'ratelimit-remaining': '3;w=60', 'ratelimit-limit': '5;w=60' }).end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  await using client = createRegistryClient()
  const registry = client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/a`))
  expect(await registry.rateLimit(cx, 'v1')).toMatchObject({ remaining: 3, limit: 5, windowS: 60 })
  expect(asked.filter((line) => !line.endsWith(' /v2/'))).toEqual(['HEAD /v2/a/manifests/v1'])
  server.closeAllConnections()
  server.close()
})
