/** Writes `docs/cli/` from the table of commands. `--check` fails instead where a page is not what it would write. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commands } from '../src/cli/commands.ts'
import { globalFlags, idleFlags, leadingFlags } from '../src/cli/program-flags.ts'
import { manual } from '../src/cli/manual.ts'

const directory = join(import.meta.dirname, '../docs/cli')
const pages = manual(commands, globalFlags, { ...globalFlags, ...leadingFlags, ...idleFlags })
mkdirSync(directory, { recursive: true })
const stale = readdirSync(directory).filter((name) => !pages.has(name))

if (process.argv.includes('--check')) {
  const wrong = [...pages].filter(([name, text]) => read(name) !== text).map(([name]) => name)
  if (wrong.length + stale.length > 0) {
    console.error(`docs/cli is not what the table of commands says: ${[...wrong, ...stale].join(', ')}. Run npm run docs.`)
    process.exit(1)
  }
} else {
  for (const [name, text] of pages) writeFileSync(join(directory, name), text)
  for (const name of stale) rmSync(join(directory, name))
}

function read(name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8')
  } catch {
    return undefined
  }
}
