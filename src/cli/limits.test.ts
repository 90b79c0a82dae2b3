import { describe, expect, test } from 'vitest'
import { hasCode } from '#error.ts'
import { command } from './command.ts'
import { buildFlags } from './build/flags.ts'
import { buildCompression } from './build/compression.ts'
import { sandboxOf } from './build/sandbox.ts'
import { createFlags } from './containers/create-flags.ts'
import { containerOptions } from './containers/options.ts'
import { chosenCompression } from './images/compression.ts'
import { parseFlags } from './parse.ts'
import type { Settings } from './settings.ts'

const settings = { cwd: '/', env: {}, temporary: '/tmp' } as unknown as Settings
const common = { group: 'Containers', summary: '', operands: '', examples: [] } as const
const run = command({ ...common, name: 'run', flags: createFlags })
const build = command({ ...common, name: 'build', flags: buildFlags })

/** What the words come to: the result of `read`, or the message of its refusal. */
function outcome(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    if (hasCode(error, 'usage')) return `refused: ${error.message}`
    throw error
  }
}

describe('a limit means the same to run and to build', () => {
  test.each([
    [['--memory', '0'], undefined],
    [['--memory', '64m'], { memoryBytes: 64 << 20 }],
    [['--memory', '64m', '--memory-swap', '0'], { memoryBytes: 64 << 20 }],
    [['--memory', '64m', '--memory-swap', '-1'], { memoryBytes: 64 << 20, memorySwapBytes: -1 }],
    [['--memory', '64m', '--memory-swap', '32m'], 'refused: --memory-swap 32m is below --memory 64m'],
    [['--memory-swap', '32m'], 'refused: --memory-swap limits memory and swap together, and needs --memory beside it'],
    [['--memory', 'much'], 'refused: cannot read --memory "much": expected a number and a unit such as k, m or g'],
    [['--cpuset-cpus', 'abc'], 'refused: --cpuset-cpus takes a list such as 0-1,3, not "abc"'],
    [['--cpuset-cpus', '3-1'], 'refused: --cpuset-cpus takes a list such as 0-1,3, not "3-1"'],
    [['--cpuset-cpus', '0-1,3'], { cpusetCpus: '0-1,3' }],
    [['--cpu-quota', '50000', '--cpu-period', '25000'], { cpus: 2 }],
    [['--cpus', '0'], undefined],
    [['--cpus', '1.5'], { cpus: 1.5 }],
    [['--cpus', '-1'], 'refused: --cpus takes a number above zero, not -1'],
    [['--cpu-quota', '-1'], undefined],
    [['--cpu-period', '10'], 'refused: --cpu-period takes 1000 to 1000000, not 10'],
    [['--cpu-shares', '0'], undefined],
    [['--cpu-shares', '-5'], 'refused: --cpu-shares takes a number above zero, not -5'],
  ])('%j', (words, expected) => {
    const none = (resources: unknown) => (Object.keys(resources ?? {}).length === 0 ? undefined : resources)
    const inRun = outcome(() => none(containerOptions(parseFlags(run, {}, words).values as never, [], settings).resources))
    const inBuild = outcome(() => none(sandboxOf(parseFlags(build, {}, words).values as never, settings).sandbox?.resources))
    expect(inRun).toEqual(expected)
    expect(inBuild).toEqual(expected)
  })
})

describe('a level of compression means the same to build, copy and push', () => {
  test.each<[kind: 'gzip' | 'zstd', level: number, isThere: boolean]>([
    ['gzip', -1, false],
    ['gzip', 0, true],
    ['gzip', 9, true],
    ['gzip', 12, false],
    ['gzip', 1.5, false],
    ['zstd', 0, true],
    ['zstd', 22, true],
    ['zstd', 23, false],
  ])('%s %d', (format, level, isThere) => {
    const refused = `there is no compression level ${level}`
    const inBuild = () => buildCompression(format, level, '--output').compressionLevel
    const inCopy = () => chosenCompression(settings, { format, level })?.level
    for (const read of [inBuild, inCopy]) {
      if (isThere) expect(read()).toBe(level)
      else expect(read).toThrow(refused)
    }
  })
})
