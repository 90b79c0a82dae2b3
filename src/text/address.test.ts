import { describe, expect, test } from 'vitest'
import { formatAddress, isLoopback, isPrivateHost, isWithin, parseAddress, parseSubnet } from './address.ts'

describe('parseAddress and formatAddress', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['::', '::'],
    ['::1', '::1'],
    ['[::1]', '::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::', '2001:db8::'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['1::2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
  ])('%s is %s', (text, canonical) => {
    expect(formatAddress(parseAddress(text)!)).toBe(canonical)
  })

  test.each([
    '',
    'localhost',
    '127.1',
    '127.0.0.256',
    '127.0.0.01',
    '1.2.3.4.5',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '12345::',
    '::g',
    '::1.2.3',
    '1.2.3.4::',
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })
})

test.each([
  ['10.1.2.3', '10.0.0.0/8', true],
  ['11.1.2.3', '10.0.0.0/8', false],
  ['192.168.1.127', '192.168.1.0/25', true],
  ['192.168.1.128', '192.168.1.0/25', false],
  ['1.2.3.4', '0.0.0.0/0', true],
  ['1.2.3.4', '1.2.3.4', true],
  ['1.2.3.5', '1.2.3.4', false],
  ['fd00::1', 'fc00::/7', true],
  ['::1', '0.0.0.0/0', false],
])('%s within %s: %s', (address, subnet, expected) => {
  expect(isWithin(parseAddress(address)!, parseSubnet(subnet)!)).toBe(expected)
})

test.each(['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/x', 'host/8', '/8'])('%j is no network', (text) => {
  expect(parseSubnet(text)).toBeUndefined()
})

describe('isPrivateHost', () => {
  test.each([
    'localhost',
    'LOCALHOST.',
    'a.localhost',
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.168.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '[::1]',
    'fc00::1',
    'fdff::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    // an IPv4 address in other clothes
    '::ffff:127.0.0.1',
    '::ffff:0:10.0.0.1',
    '::10.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '64:ff9b:1:2::8.8.8.8',
    '2002:7f00:1::',
    '2002:a9fe:a9fe::1',
    '2001:0:4136:e378:8000:63bf:80ff:fffe',
  ])('%s is private', (host) => {
    expect(isPrivateHost(host)).toBe(true)
  })

  test.each([
    'example.com',
    'localhost.example.com',
    'notlocalhost',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '192.0.2.1',
    '2001:4860:4860::8888',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '2002:808:808::1',
  ])('%s is not', (host) => {
    expect(isPrivateHost(host)).toBe(false)
  })
})

test.each([
  ['localhost', true],
  ['x.localhost', true],
  ['127.8.9.1', true],
  ['[::1]', true],
  ['::ffff:127.0.0.1', true],
  ['10.0.0.1', false],
  ['127.0.0.1.example.com', false],
  ['mylocalhost', false],
])('isLoopback(%s): %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected)
})
