import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { caseDigest, type Case } from './case.ts'
import type { Outcome } from './image.ts'

/** What a peer has made of a case, and of which text of the case. */
interface Golden extends Outcome {
  readonly input: string
}

/** Results of a peer, kept in one file for each family: made by running the peer, never by hand. */
export interface GoldenFile {
  /** @throws Error if there is none, or it is of another text of the case */
  get(one: Case): Outcome
}

const directory = join(import.meta.dirname, 'golden')

function fileOf(peer: string, family: string): string {
  return join(directory, peer, `${family}.json`)
}

export function readGolden(peer: string, family: string): GoldenFile {
  const results = JSON.parse(readFileSync(fileOf(peer, family), 'utf8')) as Readonly<Record<string, Golden>>
  return {
    get(one) {
      const result = results[one.name]
      if (result === undefined || result.input !== caseDigest(one))
        throw new Error(`there is no golden result of ${peer} for this text of "${one.name}": run this test with STAVE_TEST_UPDATE=1`)
      return result
    },
  }
}

/** One line for each path, so that a change is read as one. */
export function writeGolden(peer: string, family: string, results: ReadonlyMap<Case, Outcome>): void {
  const file = fileOf(peer, family)
  mkdirSync(dirname(file), { recursive: true })
  const texts = [...results].map(([one, { failed, config, tree }]) => {
    const head = `  ${JSON.stringify(one.name)}: {\n    "input": ${JSON.stringify(caseDigest(one))}`
    if (failed !== undefined) return `${head},\n    "failed": ${JSON.stringify(failed)}\n  }`
    const ignored = new Set(one.ignore)
    const entries = Object.entries(tree ?? {}).filter(([path]) => !ignored.has(path))
    const paths = entries.map(([path, entry]) => `\n      ${JSON.stringify(path)}: ${JSON.stringify(entry)}`)
    return `${head},\n    "config": ${JSON.stringify(config)},\n    "tree": {${paths.join()}${paths.length > 0 ? '\n    ' : ''}}\n  }`
  })
  writeFileSync(file, `{\n${texts.join(',\n')}\n}\n`)
}
