import type { Flags } from '../command.ts'

/** Of `run` and `create`: what a container's network is, and how others reach it. */
export const networkFlags = {
  network: {
    kind: 'list',
    value: 'NETWORK',
    doc: 'private (default), none, host, NAME[:ip=…,alias=…], container:ID or ns:PATH; several names connect to each',
    aliases: ['net'],
  },
  publish: {
    kind: 'list',
    short: 'p',
    value: '[IP:][HOST:]PORT[/udp]',
    doc: 'Publish a port, or a range 8000-8010:80-90, on this machine',
  },
  'publish-all': { kind: 'boolean', short: 'P', doc: 'Publish every exposed port on a free one of this machine' },
  expose: { kind: 'list', value: 'PORT[/udp]', doc: 'A port that the container listens on, besides those of the image: for --publish-all' },
  'network-alias': { kind: 'list', value: 'NAME', doc: 'Another name on its networks', aliases: ['net-alias'] },
  ip: { kind: 'string', value: 'IP', doc: 'Address of IPv4 on its network' },
  ip6: { kind: 'string', value: 'IP', doc: 'Address of IPv6 on its network' },
  'mac-address': { kind: 'string', value: 'MAC', doc: 'Hardware address on its network' },
  domainname: { kind: 'string', value: 'NAME', doc: 'Domain of the host name' },
  'add-host': { kind: 'list', value: 'HOST:IP', doc: 'Line of /etc/hosts; the address host-gateway is this machine' },
  dns: { kind: 'list', value: 'IP', doc: 'Name server, in place of those of this machine' },
  'dns-search': { kind: 'list', value: 'DOMAIN', doc: 'Domain that names are looked up in; . for none' },
  'dns-option': { kind: 'list', value: 'OPTION', doc: 'Option of the resolver', aliases: ['dns-opt'] },
} as const satisfies Flags
