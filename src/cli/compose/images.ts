import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Loaded } from '#compose/load.ts'
import type { Service } from '#compose/model.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Session } from '../session.ts'
import { imageOf, registryWords, runCommand, type Caller as AnyCaller } from './project.ts'
import { fileOf } from './resources.ts'
import { buildWords } from './words.ts'

type Caller = AnyCaller & { readonly flags: Readonly<Record<string, never>> }

/** Builds the images of these services, those of one name once. @param more words of `stave build` */
export async function buildServices(
  caller: Caller,
  session: Session,
  loaded: Loaded,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<void> {
  const { project } = loaded
  const done = new Set<string>()
  for (const name of names) {
    const service = project.services[name] as Service
    const { build } = service
    if (build === undefined) continue
    const image = imageOf(project, name, service)
    const words = buildWords(build, [image, ...(build.tags ?? [])], fileOf(session.store, project.name, caller.settings.env), project)
    const mark = createHash('sha256').update(JSON.stringify(words)).digest('hex')
    if (done.has(mark)) continue
    done.add(mark)
    caller.report.note(`building ${image}`)
    if (build.dockerfile_inline === undefined) {
      await buildOne(caller, [...more, ...registryWords(caller.flags), ...words])
      continue
    }
    const directory = mkdtempSync(join(tmpdir(), 'stave-compose-'))
    try {
      const file = join(directory, 'Dockerfile')
      writeFileSync(file, build.dockerfile_inline)
      await buildOne(caller, [
        ...more,
        ...registryWords(caller.flags),
        ...words.map((word) => (word === '--file=-' ? `--file=${file}` : word)),
      ])
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

async function buildOne(caller: Caller, words: readonly string[]): Promise<void> {
  const status = await runCommand(caller, 'build', words)
  if (status !== 0) throw new StaveError('build-failed', `the build ended with status ${status}`)
}

/** Builds what services need and the store does not have, or all with `--build`. What they have no build for is pulled when they are made. */
export async function prepareImages(
  caller: Caller,
  session: Session,
  loaded: Loaded,
  names: readonly string[],
  choices: { readonly build: boolean; readonly noBuild: boolean; readonly quiet: boolean },
): Promise<void> {
  const wanted: string[] = []
  for (const name of names) {
    const service = loaded.project.services[name] as Service
    if (service.build === undefined) continue
    const isHere = await has(caller, session, imageOf(loaded.project, name, service))
    if (choices.noBuild) {
      if (!isHere && service.image === undefined)
        throw new StaveError('not-found', `the image of the service ${name} was not built`, { hint: 'Leave --no-build out.' })
    } else if (choices.build || service.pull_policy === 'build' || !isHere) wanted.push(name)
  }
  await buildServices(caller, session, loaded, wanted, choices.quiet ? ['--quiet'] : [])
}

async function has({ cx }: Caller, session: Session, image: string): Promise<boolean> {
  try {
    await session.store.resolve(cx, image)
    return true
  } catch (error) {
    if (hasCode(error, 'not-found')) return false
    throw error
  }
}
