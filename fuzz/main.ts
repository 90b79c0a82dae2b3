// Feeds hostile input to whatever reads what others wrote.
//
//   npm run fuzz -- [--seconds N] [--seed N] [TARGET…]       ten seconds of each by default
//
// The readers of layers, of config.json and of other things that Rust reads have a fuzz of their own: FUZZ_SECONDS=N cargo test
// --test fuzz, which this starts too where no target is named.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzz } from './run.ts'
import { targets } from './targets.ts'

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) } },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !targets.some((target) => target.name === name))
if (unknown.length > 0) {
  console.error(`error: there is no target ${unknown.join(', ')}\n  hint:  There are ${targets.map(({ name }) => name).join(', ')}.`)
  process.exit(2)
}
const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
let failed = false
for (const target of targets) {
  if (positionals.length > 0 && !positionals.includes(target.name)) continue
  try {
    const { rounds, slowestMs } = await fuzz(target, { seed, seconds })
    console.log(`${target.name}: nothing found in ${rounds} inputs (seed ${seed}); the slowest took ${Math.round(slowestMs)} ms`)
  } catch (error) {
    failed = true
    console.error(error)
  }
}
if (positionals.length === 0) {
  const native = spawnSync('cargo', ['test', '--locked', '--release', '--test', 'fuzz'], {
    cwd: join(import.meta.dirname, '../runner-native'),
    env: { ...process.env, FUZZ_SECONDS: String(seconds), FUZZ_SEED: String(seed) },
    stdio: 'inherit',
  })
  failed ||= native.status !== 0
}
process.exit(failed ? 1 : 0)
