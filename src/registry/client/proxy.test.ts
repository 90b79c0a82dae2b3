import { expect, test } from 'vitest'
import { proxyFor } from './proxy.ts'

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
  ['https://ghcr.io/v2/', '.ghcr.io', 'http://proxy:3128'],
  ['https://ghcr.io/v2/', '*.ghcr.io', 'http://proxy:3128'],
  ['https://A.ghcr.io/v2/', 'GHCR.io', undefined],
  ['https://10.1.2.3/v2/', '10.0.0.0/8', undefined],
  ['https://11.1.2.3/v2/', '10.0.0.0/8', 'http://proxy:3128'],
  ['https://10.1.2.3:5000/v2/', '10.1.2.3', undefined],
  ['https://10.1.2.3:5000/v2/', '10.1.2.3:5000', undefined],
  ['https://10.1.2.3/v2/', '10.1.2.3:5000', 'http://proxy:3128'],
  ['https://10.1.2.3/v2/', '2.3', 'http://proxy:3128'],
  ['https://[2001:db8::1]/v2/', '2001:db8::/32', undefined],
  ['https://[2001:db8::1]/v2/', '2001:db8::1', undefined],
  ['https://[2001:db8::1]:5000/v2/', '[2001:db8::1]:5000', undefined],
  ['https://registry.corp/v2/', '10.0.0.0/8, corp', undefined],
  ['https://localhost:5000/v2/', '', undefined],
  ['https://127.9.9.9/v2/', '', undefined],
])('%s with exceptions %j goes through %s', (url, no, expected) => {
  expect(proxyFor(new URL(url), { https: 'proxy:3128', no })).toBe(expected)
})
