import { expect, test } from 'vitest'
import { command } from '../command.ts'
import { containerOptions } from './options.ts'
import { parseFlags } from '../parse.ts'
import type { Settings } from '../settings.ts'
import { createFlags } from './create-flags.ts'

const run = command({ name: 'run', group: 'Containers', summary: '', operands: '', flags: createFlags, examples: [] })
const settings = { cwd: '/', env: {} } as unknown as Settings
const resources = (...words: readonly string[]) => containerOptions(parseFlags(run, {}, words).values as never, [], settings).resources

test.each([
  [['--memory', '50m'], { memoryBytes: 50 << 20 }],
  [['--memory', '50m', '--memory-swap', '-1'], { memoryBytes: 50 << 20, memorySwapBytes: -1 }],
  [['--cpus', '1.5'], { cpus: 1.5 }],
  [['--cpu-quota', '20000'], { cpus: 0.2 }],
  [['--cpu-quota', '20000', '--cpu-period', '50000'], { cpus: 0.4 }],
  [['--cpu-quota', '-1'], {}],
  [['--memory', '0', '--memory-swap', '0', '--cpus', '0', '--cpu-shares', '0', '--pids-limit', '0'], {}],
  [['--pids-limit', '-1'], {}],
])('%j', (words, expected) => {
  expect(resources(...words)).toEqual(expected)
})

test.each([
  [['--memory', '50m', '--memory-swap', '20m'], /--memory-swap 20m is below --memory 50m/],
  [['--memory-swap', '20m'], /needs --memory/],
  [['--cpus', '1', '--cpu-quota', '5000'], /exclude each other/],
  [['--cpu-period', '10'], /takes 1000 to 1000000/],
  [['--dns', 'nosuch'], /takes the address/],
])('%j is refused', (words, why) => {
  expect(() => resources(...words)).toThrow(why)
})
