import { expect, test } from 'vitest'
import { readResources, type ResourceWords } from './resources.ts'

test.each<[ResourceWords, object]>([
  [{}, {}],
  [{ memory: '0' }, {}],
  [{ memory: '64m' }, { memoryBytes: 2 ** 26 }],
  [
    { memory: '64m', 'memory-swap': '64m' },
    { memoryBytes: 2 ** 26, memorySwapBytes: 2 ** 26 },
  ],
  [{ 'memory-swap': '-1' }, { memorySwapBytes: -1 }],
  [{ 'memory-swap': '0' }, {}],
  [{ cpus: 0 }, {}],
  [{ cpus: '1.5' }, { cpus: 1.5 }],
  [{ 'cpu-quota': 50_000 }, { cpus: 0.5 }],
  [{ 'cpu-quota': '50000', 'cpu-period': '200000' }, { cpus: 0.25 }],
  [{ 'cpu-quota': -1 }, {}],
  [{ 'cpu-shares': 0 }, {}],
  [{ 'cpu-shares': '512' }, { cpuShares: 512 }],
  [{ 'cpuset-cpus': '' }, {}],
  [{ 'cpuset-cpus': '0-1,3' }, { cpusetCpus: '0-1,3' }],
  [{ 'pids-limit': 0 }, {}],
  [{ 'pids-limit': -1 }, {}],
  [{ 'pids-limit': 64 }, { pids: 64 }],
])('%j', (words, resources) => {
  expect(readResources(words)).toEqual(resources)
})

test.each<[ResourceWords, RegExp]>([
  [{ memory: 'x' }, /cannot read --memory "x"/],
  [{ 'memory-swap': '1g' }, /needs --memory beside it/],
  [{ memory: '1g', 'memory-swap': '512m' }, /--memory-swap 512m is below --memory 1g/],
  [{ cpus: -1 }, /--cpus takes a number above zero, not -1/],
  [{ cpus: 'two' }, /--cpus takes a number, not "two"/],
  [{ cpus: 1, 'cpu-quota': 1000 }, /exclude each other/],
  [{ 'cpu-quota': 1000, 'cpu-period': 5 }, /--cpu-period takes 1000 to 1000000, not 5/],
  [{ 'cpu-shares': -5 }, /--cpu-shares takes a number above zero/],
  [{ 'cpuset-cpus': 'abc' }, /--cpuset-cpus takes a list such as 0-1,3, not "abc"/],
  [{ 'cpuset-cpus': '3-1' }, /--cpuset-cpus takes a list/],
  [{ 'pids-limit': -2 }, /--pids-limit takes a number above zero/],
])('refuses %j', (words, why) => {
  expect(() => readResources(words)).toThrow(why)
})
