import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The version of this program, from its package.json. */
export const version: string = readVersion()

function readVersion(): string {
  // src/cli/version.ts of a checkout, or a chunk in dist/
  for (const up of ['../..', '..']) {
    try {
      const found = JSON.parse(readFileSync(join(import.meta.dirname, up, 'package.json'), 'utf8')) as { name?: unknown; version?: unknown }
      if (found.name === 'stave' && typeof found.version === 'string') return found.version
    } catch {
      continue
    }
  }
  return 'unknown'
}
