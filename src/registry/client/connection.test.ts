import { expect, test } from 'vitest'
import { proxyFor } from './connection.ts'

test.each<[url: string, no: string, expected: string | undefined]>([
  ['https://ghcr.io/v2/', '', 'http://proxy:3128'],
  ['http://ghcr.io/v2/', '', undefined],
  ['https://ghcr.io/v2/', '*', undefined],
  ['https://ghcr.io/v2/', 'ghcr.io', undefined],
  ['https://a.ghcr.io/v2/', '.ghcr.io', undefined],
  ['https://a.ghcr.io/v2/', 'x, *.ghcr.io', undefined],
  ['https://notghcr.io/v2/', 'ghcr.io', 'http://proxy:3128'],
  ['https://ghcr.io:8443/v2/', 'ghcr.io:443', 'http://proxy:3128'],
  ['https://ghcr.io/v2/', 'ghcr.io:443', undefined],
])('%s with exceptions %j goes through %s', (url, no, expected) => {
  expect(proxyFor(new URL(url), { https: 'proxy:3128', no })).toBe(expected)
})
