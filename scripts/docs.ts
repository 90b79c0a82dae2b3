/** Writes `docs/cli/` and `docs/run-flags.md` from the table of commands. `--check` fails instead where a page is not what it would write. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commands } from '../src/cli/commands.ts'
import { globalFlags, idleFlags, leadingFlags } from '../src/cli/program-flags.ts'
import { runFlagsPage } from '../src/cli/containers/run-flags.ts'
import { manual } from '../src/cli/manual.ts'

const directory = join(import.meta.dirname, '../docs/cli')
const pages = manual(commands, globalFlags, { ...globalFlags, ...leadingFlags, ...idleFlags })
mkdirSync(directory, { recursive: true })
const beside = new Map([['../run-flags.md', runFlagsPage()]])
const all = new Map([...pages, ...beside])
const stale = readdirSync(directory).filter((name) => !pages.has(name))

if (process.argv.includes('--check')) {
  const wrong = [...all].filter(([name, text]) => read(name) !== text).map(([name]) => name)
  if (wrong.length + stale.length > 0) {
    console.error(`docs is not what the table of commands says: ${[...wrong, ...stale].join(', ')}. Run npm run docs.`)
    process.exit(1)
  }
} else {
  for (const [name, text] of all) writeFileSync(join(directory, name), text)
  for (const name of stale) rmSync(join(directory, name))
}

function read(name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8')
  } catch {
    return undefined
  }
}
