import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as limit from '#limit.ts'
import { formatAddress, parseAddress, parseSubnet } from '#text/address.ts'
import { parseNetworks } from './choice.ts'
import { parseRoutes, parseRoutes6, readHostFile } from './host.ts'
import { privateHosts, privateResolvConf, reachableServers } from './names.ts'
import { formatPorts, parseExposed, parsePorts, publishAll } from './port.ts'
import { newNetwork, type NetworkOptions } from './record.ts'
import { formatSubnet, freeAddress, freeSubnet, macOf, overlap, uniqueSubnet } from './subnet.ts'

const id = '0123456789abcdef'.repeat(4)

describe('--network', () => {
  test.each([
    [[], { mode: 'private' }],
    [['host'], { mode: 'host' }],
    [['none'], { mode: 'none' }],
    [['pasta'], { mode: 'private', program: 'pasta' }],
    [['bridge'], { mode: 'networks', networks: [{ name: 'bridge' }] }],
    [['container:web'], { mode: 'container', container: 'web' }],
    [['ns:/run/netns/a'], { mode: 'path', path: '/run/netns/a' }],
    [['a,b'], { mode: 'networks', networks: [{ name: 'a' }, { name: 'b' }] }],
    [
      ['a:ip=10.0.0.5,alias=x,alias=y', 'name=b,ip6=fd00::5,mac=02:00:00:00:00:01'],
      {
        mode: 'networks',
        networks: [
          { name: 'a', ip: '10.0.0.5', aliases: ['x', 'y'] },
          { name: 'b', ip6: 'fd00::5', mac: '02:00:00:00:00:01' },
        ],
      },
    ],
  ])('%j', (words, expected) => expect(parseNetworks(words)).toEqual(expected))

  test('flags beside it are about the network', () => {
    expect(parseNetworks(['app'], { ip: '10.0.0.5', aliases: ['db'] })).toEqual({
      mode: 'networks',
      networks: [{ name: 'app', ip: '10.0.0.5', aliases: ['db'] }],
    })
    expect(() => parseNetworks(['a', 'b'], { ip: '10.0.0.5' })).toThrow('are for one network')
    expect(() => parseNetworks(['none'], { aliases: ['x'] })).toThrow('--network-alias needs a network')
  })

  test.each([
    [['a', 'host'], 'cannot be combined'],
    [['a', 'a'], 'names a twice'],
    [['-a'], 'cannot be the name'],
    [['a/..'], 'cannot be the name'],
    [['a:ip=10.0.0'], 'not an address of IPv4'],
    [['a:mac=01:00:00:00:00:01'], 'one of a group'],
    [['a:mac=zz'], 'not a hardware address'],
    [['a:alias=a b'], 'cannot be the name of a host'],
    [['ns:relative'], 'no absolute path'],
  ])('%j is refused', (words, why) => expect(() => parseNetworks(words)).toThrow(why))
})

describe('-p', () => {
  const shown = (...words: string[]) =>
    parsePorts(words).map((port) => `${port.hostAddress ?? ''} ${port.hostPort} ${port.containerPort}/${port.protocol}`)

  test.each([
    [['80'], [' 0 80/tcp']],
    [['8080:80'], [' 8080 80/tcp']],
    [['8080:80/UDP'], [' 8080 80/udp']],
    [['127.0.0.1:8080:80'], ['127.0.0.1 8080 80/tcp']],
    [['127.0.0.1::80'], ['127.0.0.1 0 80/tcp']],
    [['[::1]:8080:80'], ['::1 8080 80/tcp']],
    [['8000-8001:80-81'], [' 8000 80/tcp', ' 8001 81/tcp']],
    [['80-81'], [' 0 80/tcp', ' 0 81/tcp']],
    [['0:80'], [' 0 80/tcp']],
    [['::80'], [' 0 80/tcp']],
    [['80:80', '80:80'], [' 80 80/tcp']],
    [
      ['53:53', '53:53/udp'],
      [' 53 53/tcp', ' 53 53/udp'],
    ],
  ])('%j', (words, expected) => expect(shown(...words)).toEqual(expected))

  test.each(['', ':', 'a:b', '80:', '1-2-3:4', '-5:80', '65536:1', '1:0', '80/sctp', '1:2:3', '[::1:80:80', '1-70000:1-70000'])(
    '%j is refused',
    (word) => expect(() => parsePorts([word])).toThrow(/^(-p|port)/),
  )

  test('they are shown with neighbours together, and what is only exposed behind', () => {
    expect(formatPorts(parsePorts(['8000-8002:80-82', '127.0.0.1:53:53/udp']), ['9000/tcp', '80/tcp'])).toBe(
      '0.0.0.0:8000-8002->80-82/tcp, 127.0.0.1:53->53/udp, 9000/tcp',
    )
  })

  test('-P publishes what is exposed and not yet published', () => {
    const exposed = parseExposed(['80', '53/udp', '90-91', '7/sctp'])
    expect(exposed).toEqual(['80/tcp', '53/udp', '90/tcp', '91/tcp', '7/sctp'])
    const published = publishAll(exposed, parsePorts(['8080:80']))
    expect(published.map(({ hostPort, containerPort }) => [hostPort, containerPort])).toEqual([
      [8080, 80],
      [0, 53],
      [0, 90],
      [0, 91],
    ])
  })
})

describe('addresses', () => {
  const subnet = (text: string) => parseSubnet(text)!

  test('the lowest free one is taken, neither the network’s own nor the last', () => {
    const free = (text: string, taken: readonly string[], range?: string) => {
      const found = freeAddress(subnet(text), new Set(taken), range === undefined ? undefined : subnet(range))
      return found === undefined ? undefined : formatAddress(found)
    }
    expect(free('10.0.0.0/30', ['10.0.0.1'])).toBe('10.0.0.2')
    expect(free('10.0.0.0/30', ['10.0.0.1', '10.0.0.2'])).toBeUndefined()
    expect(free('10.0.0.0/24', [], '10.0.0.128/25')).toBe('10.0.0.128')
    expect(free('10.0.0.0/24', ['10.0.0.254'], '10.0.0.254/31')).toBeUndefined()
    expect(free('fd00::/64', ['fd00::1'])).toBe('fd00::2')
  })

  test('a free network overlaps no other, and the same id begins at the same place', () => {
    const first = freeSubnet(id, [])!
    expect(formatSubnet(first)).toMatch(/^10\.\d+\.\d+\.0\/24$/)
    const second = freeSubnet(id, [first])!
    expect(overlap(first, second)).toBe(false)
    expect(freeSubnet(id, [subnet('10.64.0.0/10')])).toBeUndefined()
    expect(formatSubnet(uniqueSubnet(id))).toBe('fd23:4567:89ab::/64')
    expect(overlap(subnet('10.0.0.0/8'), subnet('10.1.0.0/16'))).toBe(true)
    expect(overlap(subnet('fd00::/64'), subnet('10.0.0.0/8'))).toBe(false)
  })

  test('one address always has the same hardware address', () => expect(macOf(parseAddress('10.89.0.2')!)).toBe('02:42:0a:59:00:02'))

  test('routes are read; the default ones, those of our own bridge and each link’s own are in nobody’s way', () => {
    const text = `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br0\t0000590A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`
    expect(parseRoutes(text).map(formatSubnet)).toEqual(['192.0.2.0/24', '10.89.0.0/24'])
    expect(parseRoutes(text, 'br0').map(formatSubnet)).toEqual(['192.0.2.0/24'])
    const line = (to: string, bits: string) =>
      `${to} ${bits} ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000100 00000000 00000000 00000001     eth0\n`
    const six = line(`fd${'0'.repeat(30)}`, '40') + line(`fe80${'0'.repeat(28)}`, '40') + line('0'.repeat(32), '00')
    expect(parseRoutes6(six).map(formatSubnet)).toEqual(['fd00::/64'])
  })
})

describe('a new network', () => {
  const make = (options: Partial<NetworkOptions> = {}, routes: readonly string[] = []) =>
    newNetwork(
      id,
      { name: 'app', ...options },
      [newNetwork(id, { name: 'old', subnets: ['10.5.0.0/16'] }, [], [], '')],
      routes.map((text) => parseSubnet(text)!),
      '',
    )

  test('has what was asked for, and the rest is chosen', () => {
    expect(make({ subnets: ['10.89.7.5/24'], gateways: ['10.89.7.254'], ranges: ['10.89.7.128/25'] }).subnets).toEqual([
      { subnet: '10.89.7.0/24', gateway: '10.89.7.254', range: '10.89.7.128/25' },
    ])
    const chosen = make({ ipv6: true, internal: true, options: { mtu: '1400', 'com.docker.network.bridge.enable_icc': 'false' } })
    expect(chosen).toMatchObject({ automatic: true, internal: true, isolated: true, names: true, mtu: 1400, bridge: 'stave01234567' })
    expect(chosen.subnets.map(({ subnet }) => subnet.includes(':'))).toEqual([false, true])
  })

  test.each([
    [{ subnets: ['10.5.1.0/24'] }, 'overlaps 10.5.0.0/16 of the network old'],
    [{ subnets: ['192.0.2.128/25'] }, 'has a route to 192.0.2.0/24'],
    [{ subnets: ['10.6.0.0'] }, 'is not a network'],
    [{ subnets: ['10.6.0.0/31'] }, 'size must be'],
    [{ subnets: ['10.6.0.0/24'], ranges: ['10.6.0.0/16'] }, 'larger than its subnet'],
    [{ gateways: ['10.6.0.1'] }, 'in none of the subnets'],
    [{ options: { mtu: '5' } }, 'an MTU is'],
    [{ options: { 'com.docker.network.bridge.name': 'much-too-long-a-name' } }, 'up to 15'],
    [{ name: '..' }, 'cannot name a network'],
    [{ name: 'none' }, 'means something else'],
  ])('%j is refused', (options, why) => expect(() => make(options, ['192.0.2.0/24'])).toThrow(why))
})

describe('names', () => {
  test('of a container on a network: its own, the host’s, and those that were added', () => {
    expect(
      privateHosts({ addresses: ['10.0.0.2', 'fd00::2'], names: ['box', 'web'] }, '10.0.0.1', [
        { host: 'up', address: 'host-gateway' },
        { host: 'host.docker.internal', address: '192.0.2.1' },
      ]).split('\n'),
    ).toEqual([
      ...['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', '10.0.0.1\thost.containers.internal'],
      ...['10.0.0.2\tbox web', 'fd00::2\tbox web', '10.0.0.1\tup', '192.0.2.1\thost.docker.internal', ''],
    ])
  })

  test('resolvers on this machine’s loopback are nothing for a container', () => {
    const text =
      '# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\nsearch a b\noptions edns0\n'
    expect(reachableServers(text)).toEqual(['192.0.2.1'])
    expect(privateResolvConf(text, ['127.0.0.11'], {})).toBe('nameserver 127.0.0.11\nsearch a b\noptions edns0\n')
    expect(privateResolvConf(text, ['127.0.0.11'], { searchDomains: ['.'], options: ['ndots:2'] })).toBe(
      'nameserver 127.0.0.11\noptions ndots:2\n',
    )
  })
})

test('a file of this machine that is too large, or that is not there, says nothing', () => {
  const directory = mkdtempSync(join(tmpdir(), 'stave-host-'))
  const file = join(directory, 'resolv.conf')
  writeFileSync(file, '#'.repeat(limit.hostFileBytes))
  expect(readHostFile(file)).toHaveLength(limit.hostFileBytes)
  writeFileSync(file, '#'.repeat(limit.hostFileBytes + 1))
  expect(readHostFile(file)).toBeUndefined()
  expect(readHostFile(join(directory, 'none'))).toBeUndefined()
  rmSync(directory, { recursive: true })
})
