import { command, type Command, type Flags } from '../command.ts'
import { forceFlag, noFlags } from '../containers/commands.ts'
import { formatFlags } from '../shared-flags.ts'

export const networkCreateFlags = {
  driver: { kind: 'string', short: 'd', value: 'bridge', doc: 'Kind of network: bridge' },
  subnet: { kind: 'list', value: 'NET/BITS', doc: 'Its addresses, of IPv4 and IPv6 (default chosen)' },
  gateway: { kind: 'list', value: 'IP', doc: 'Where this machine is in the subnet (default its first address)' },
  'ip-range': { kind: 'list', value: 'NET/BITS', doc: 'Part of the subnet that containers get addresses from' },
  internal: { kind: 'boolean', doc: 'Lead nowhere outside' },
  ipv6: { kind: 'boolean', doc: 'Give addresses of IPv6 as well' },
  'disable-dns': { kind: 'boolean', doc: 'Let containers not be found by name' },
  label: { kind: 'list', value: 'K=V', doc: 'Label' },
  opt: {
    kind: 'list',
    short: 'o',
    value: 'K=V',
    doc: 'mtu, com.docker.network.bridge.name, com.docker.network.bridge.enable_icc, isolate',
  },
  ignore: { kind: 'boolean', doc: 'One that is there already is no error' },
} as const satisfies Flags

export const networkListFlags = {
  quiet: { kind: 'boolean', short: 'q', doc: 'Show names alone' },
  filter: { kind: 'list', short: 'f', value: 'K=V', doc: 'name=, id=, label=, driver=, dangling=, until=' },
  'no-trunc': { kind: 'boolean', doc: 'Show whole IDs' },
  noheading: { kind: 'boolean', short: 'n', doc: 'Leave the heading out' },
  ...formatFlags,
} as const satisfies Flags

export const networkRmFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'Also one with containers, which are removed; one that is not there is no error' },
} as const satisfies Flags

export const networkPruneFlags = {
  filter: { kind: 'list', value: 'K=V', doc: 'label=, until=' },
  ...forceFlag,
} as const satisfies Flags

export const networkConnectFlags = {
  alias: { kind: 'list', value: 'NAME', doc: 'Another name there' },
  ip: { kind: 'string', value: 'IP', doc: 'Address of IPv4' },
  ip6: { kind: 'string', value: 'IP', doc: 'Address of IPv6' },
  'mac-address': { kind: 'string', value: 'MAC', doc: 'Hardware address' },
} as const satisfies Flags

export const networkDisconnectFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'One that is not connected is no error' },
} as const satisfies Flags

export const networkCommands: readonly Command[] = [
  command({
    name: 'network',
    group: 'Containers',
    summary: 'Make, list and remove networks, and connect containers to them',
    operands: 'COMMAND',
    flags: noFlags,
    examples: [],
    commands: [
      command({
        name: 'network create',
        group: 'Containers',
        summary: 'Make a network, on which containers find each other by name',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: networkCreateFlags,
        examples: [
          { command: 'stave network create app', doc: 'For run --network app' },
          { command: 'stave network create --ipv6 --subnet 10.89.7.0/24 --internal back', doc: 'With chosen addresses, and no way out' },
        ],
        load: () => import('./create.ts'),
      }),
      command({
        name: 'network ls',
        aliases: ['list'],
        group: 'Containers',
        summary: 'List networks',
        operands: '',
        most: 0,
        flags: networkListFlags,
        examples: [{ command: 'stave network ls --filter label=ci', doc: 'Those with a label' }],
        load: () => import('./ls.ts'),
      }),
      command({
        name: 'network inspect',
        group: 'Containers',
        summary: 'Show networks, and who is on them',
        operands: 'NAME...',
        least: 1,
        flags: { format: { ...formatFlags.format, short: 'f' } },
        examples: [{ command: "stave network inspect -f '{{(index .IPAM.Config 0).Subnet}}' app", doc: 'Its addresses' }],
        load: () => import('./inspect.ts'),
      }),
      command({
        name: 'network exists',
        group: 'Containers',
        summary: 'Exit with 0 if there is such a network, else with 1',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: noFlags,
        examples: [{ command: 'stave network exists app || stave network create app', doc: 'Unless it is there' }],
        load: () => import('./exists.ts'),
      }),
      command({
        name: 'network rm',
        aliases: ['remove'],
        group: 'Containers',
        summary: 'Remove networks',
        operands: 'NAME...',
        least: 1,
        flags: networkRmFlags,
        examples: [{ command: 'stave network rm app', doc: 'When no container is on it' }],
        load: () => import('./rm.ts'),
      }),
      command({
        name: 'network prune',
        group: 'Containers',
        summary: 'Remove the networks that no container is on',
        operands: '',
        most: 0,
        flags: networkPruneFlags,
        examples: [{ command: 'stave network prune', doc: 'All of them' }],
        load: () => import('./prune.ts'),
      }),
      command({
        name: 'network connect',
        group: 'Containers',
        summary: 'Connect a container to a network, while it runs or for when it does',
        operands: 'NETWORK CONTAINER',
        least: 2,
        most: 2,
        flags: networkConnectFlags,
        examples: [{ command: 'stave network connect --alias db app postgres', doc: 'Where others call it db' }],
        load: () => import('./connect.ts'),
      }),
      command({
        name: 'network disconnect',
        group: 'Containers',
        summary: 'Disconnect a container from a network',
        operands: 'NETWORK CONTAINER',
        least: 2,
        most: 2,
        flags: networkDisconnectFlags,
        examples: [{ command: 'stave network disconnect app postgres', doc: 'Whether it runs or not' }],
        load: () => import('./disconnect.ts'),
      }),
    ],
  }),
  command({
    name: 'port',
    group: 'Containers',
    summary: 'Show the published ports of a container',
    operands: 'CONTAINER [PORT[/udp]]',
    least: 1,
    most: 2,
    flags: noFlags,
    examples: [
      { command: 'stave port web', doc: 'All of them' },
      { command: 'stave port web 80', doc: 'Where port 80 of it is reached' },
    ],
    load: () => import('./port.ts'),
  }),
]
