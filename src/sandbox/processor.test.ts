import { expect, test } from 'vitest'
import { checkProcessor, missingFeatures } from './processor.ts'

const v2 = 'cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2'
const v3 = 'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'
const v4 = 'avx512f avx512bw avx512cd avx512dq avx512vl'
const processor = (...flags: readonly string[]): string =>
  `processor\t: 0\nflags\t\t: fpu sse2 ${flags.join(' ')} lm\nbugs\t\t: spectre_v1\n`

test.each([
  ['amd64', undefined, processor(), []],
  ['amd64', 'v2', processor(v2), []],
  ['amd64', 'v2', processor(v2.replace('popcnt', '')), ['popcnt']],
  ['amd64', 'v2', processor(), v2.split(' ')],
  ['amd64', 'v3', processor(v2, v3), []],
  ['amd64', 'v3', processor(v2, v3.replace('avx2', '')), ['avx2']],
  ['amd64', 'v3', processor(v3, v2.replace('sse4_2', '')), ['sse4_2']],
  ['amd64', 'v4', processor(v2, v3, v4), []],
  ['amd64', 'v4', processor(v2, v3), v4.split(' ')],
  ['amd64', 'v9', processor(), []],
  ['arm64', 'v9', 'processor\t: 0\nFeatures\t: fp asimd\n', []],
  ['amd64', 'v3', 'processor\t: 0\nFeatures\t: fp asimd\n', []],
  ['amd64', 'v3', '', []],
])('%s/%s on a processor with %j lacks %j', (architecture, variant, cpuinfo, missing) => {
  expect(missingFeatures({ architecture, ...(variant !== undefined && { variant }) }, cpuinfo)).toEqual(missing)
})

test('an error says what is missing and for whom', () => {
  const check = (variant: string) => () => checkProcessor('web', { architecture: 'amd64', variant }, () => processor(v2, v3))
  expect(check('v3')).not.toThrow()
  expect(check('v4')).toThrow(/cannot run web: it is for amd64\/v4, and this processor lacks avx512f, avx512bw/)
})
