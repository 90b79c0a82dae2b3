import { expect, test } from 'vitest'
import { fuzz } from './run.ts'
import { targets } from './targets.ts'

// Short and the same each time: it keeps the targets alive. npm run fuzz goes on for as long as it is told to.
test.each(targets.map((target) => [target.name, target] as const))('%s', async (_name, target) => {
  const { rounds } = await fuzz(target, { seed: 20_260_801, rounds: 300 })
  expect(rounds).toBe(300)
})
