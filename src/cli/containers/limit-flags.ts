import type { Flags } from '../command.ts'

/** Of `run`, `create` and `update`: how much of the machine a container may use. */
export const limitFlags = {
  memory: { kind: 'string', short: 'm', value: 'SIZE', doc: 'Memory limit: 512m, 2g' },
  'memory-swap': { kind: 'string', value: 'SIZE', doc: 'Limit of memory and swap; -1 for none' },
  'memory-reservation': { kind: 'string', value: 'SIZE', doc: 'Memory that it keeps when the machine runs short' },
  'memory-swappiness': {
    kind: 'number',
    value: 'N',
    doc: 'How readily its memory is swapped out, 0 to 100 (cgroup version 1); -1: as usual',
  },
  cpus: { kind: 'number', value: 'N', doc: 'CPU limit: 1.5' },
  'cpu-quota': { kind: 'number', value: 'MICROSECONDS', doc: 'CPU time in each period' },
  'cpu-period': { kind: 'number', value: 'MICROSECONDS', doc: 'Period of --cpu-quota (default 100000)' },
  'cpu-shares': { kind: 'number', short: 'c', value: 'N', doc: 'CPU weight' },
  'cpuset-cpus': { kind: 'string', value: 'LIST', doc: 'CPUs to run on: 0-1,3' },
  'cpuset-mems': { kind: 'string', value: 'LIST', doc: 'Memory nodes to use: 0-1' },
  'pids-limit': { kind: 'number', value: 'N', doc: 'Most processes; -1 for no limit' },
  'blkio-weight': { kind: 'number', value: 'N', doc: 'Weight for disks, 10 to 1000 (where the scheduler is BFQ); 0: as usual' },
  'blkio-weight-device': { kind: 'list', value: 'DEVICE:N', doc: 'The same for one disk' },
  'device-read-bps': { kind: 'list', value: 'DEVICE:SIZE', doc: 'Most bytes a second from a disk' },
  'device-write-bps': { kind: 'list', value: 'DEVICE:SIZE', doc: 'Most bytes a second to a disk' },
  'device-read-iops': { kind: 'list', value: 'DEVICE:N', doc: 'Most reads a second from a disk' },
  'device-write-iops': { kind: 'list', value: 'DEVICE:N', doc: 'Most writes a second to a disk' },
} as const satisfies Flags
