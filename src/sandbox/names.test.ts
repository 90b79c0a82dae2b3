import { expect, test } from 'vitest'
import { hostsText, resolverText, withOwnName } from './names.ts'

const machine = '# of the machine\nnameserver 192.0.2.1\nsearch a.example\ndomain b.example\noptions ndots:1\n'

test.each<[string, Parameters<typeof resolverText>, string]>([
  ['as the machine has it', [machine], machine],
  ['without a newline at its end', ['nameserver 192.0.2.1'], 'nameserver 192.0.2.1\n'],
  ['a dot: no search', [machine, { searchDomains: ['.'] }], '# of the machine\nnameserver 192.0.2.1\noptions ndots:1\n'],
  [
    'all others',
    [machine, { nameservers: ['192.0.2.2'], searchDomains: ['c', 'd'], options: ['rotate'] }],
    '# of the machine\nnameserver 192.0.2.2\nsearch c d\noptions rotate\n',
  ],
  ['no network', [undefined], ''],
  ['no network, and a server all the same', [undefined, { nameservers: ['192.0.2.2'] }], 'nameserver 192.0.2.2\n'],
])('resolv.conf: %s', (_, args, text) => {
  expect(resolverText(...args)).toBe(text)
})

test('hosts: the machine’s or the least, what was added, and the own name once', () => {
  expect(hostsText('192.0.2.9 there', [{ host: 'db', address: '192.0.2.1' }])).toBe('192.0.2.9 there\n192.0.2.1\tdb\n')
  expect(hostsText(undefined, [{ host: 'host.docker.internal', address: 'host-gateway' }])).toBe(
    '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\thost.docker.internal\n',
  )
  expect(withOwnName('127.0.0.1\tlocalhost # box\n', 'box')).toBe('127.0.0.1\tlocalhost # box\n127.0.1.1\tbox\n')
  expect(withOwnName('127.0.0.1\tlocalhost box\n', 'box')).toBe('127.0.0.1\tlocalhost box\n')
})
