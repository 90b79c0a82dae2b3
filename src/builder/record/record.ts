import { layout, pathOf } from '#store/layout.ts'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import type { Store } from '#store/store.ts'
import type { BuildResult } from '../options.ts'

/** What is kept of a build that is over. */
export type BuildRecord = Pick<BuildResult, 'id' | 'steps' | 'names'>

/**
 * The record of a build by the beginning of its id, or of the last one.
 *
 * @throws StaveError `not-found`
 */
export async function readBuild(store: Store, text?: string): Promise<BuildRecord> {
  const directory = await findBuild(store, text)
  if (directory === undefined) {
    throw new StaveError(
      'not-found',
      text === undefined ? 'cannot find a build: none was made in this store' : `cannot find the build ${text}`,
    )
  }
  const bytes = await readFile(join(directory, 'build.json'))
  if (bytes.length > limit.jsonBytes) throw new StaveError('too-large', `cannot read ${directory}/build.json: it is too large`)
  return JSON.parse(bytes.toString('utf8')) as BuildRecord
}

/** The output of all steps of a build, one after the other, each under its title. Undefined: there is no such build. */
export async function readBuildLogs(store: Store, text: string): Promise<AsyncIterable<Buffer | string> | undefined> {
  const directory = await findBuild(store, text)
  return directory === undefined ? undefined : stepLogs(directory, await readBuild(store, text))
}

async function* stepLogs(directory: string, record: BuildRecord): AsyncGenerator<Buffer | string> {
  for (const step of record.steps) {
    if (step.log === undefined) continue
    yield `==> ${step.title}\n`
    yield* createReadStream(join(directory, step.log)) as AsyncIterable<Buffer>
  }
}

async function findBuild(store: Store, text: string | undefined): Promise<string | undefined> {
  const names = await readdir(pathOf(store, layout.builds)).catch(() => [])
  const matching = names.filter((name) => /^[\w.-]+$/.test(name) && (text === undefined || name.startsWith(text)))
  const timed = await Promise.all(
    matching.map(async (name) => ({
      path: pathOf(store, layout.build(name)),
      time: (await stat(pathOf(store, layout.buildRecord(name))).catch(() => undefined))?.mtimeMs,
    })),
  )
  const finished = timed.filter((build) => build.time !== undefined).sort((a, b) => b.time! - a.time!)
  return finished[0]?.path
}
