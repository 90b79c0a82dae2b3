import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { build } from '#builder/build.ts'
import { background as cx } from '#context.ts'
import { StaveError } from '#error.ts'
import { openImage, type Image } from '#image/image.ts'
import { locateRunner } from '#runner/locate.ts'
import { createRunner } from '#runner/runner.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { testedDriver } from '../stave.ts'
import type { Case } from './case.ts'
import type { Built, Config } from './image.ts'

/** A store of its own with the runner of the checkout. */
export async function openTestStore(root: string): Promise<LocalStore & AsyncDisposable> {
  mkdirSync(root, { recursive: true })
  const runner = createRunner({
    binary: locateRunner(),
    uid: process.getuid?.() ?? 0,
    root,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  })
  const store = await openStore({ root, runner, driver: testedDriver })
  const dispose = store[Symbol.asyncDispose].bind(store)
  return Object.assign(store, {
    async [Symbol.asyncDispose]() {
      await dispose()
      await runner[Symbol.asyncDispose]()
    },
  })
}

/** Builds a case in this process. Its context lies in `directory`. @throws StaveError */
export async function buildCase(store: LocalStore, one: Case, directory: string): Promise<Image> {
  const nowhere = async (_cx: unknown, location: string): Promise<never> => {
    throw new StaveError('not-found', `cannot open ${location}: these tests have no registry`)
  }
  const result = await build(cx, {
    store,
    places: { source: nowhere, target: nowhere },
    context: join(directory, 'context'),
    file: join(directory, 'Dockerfile'),
    cwd: directory,
    jobs: 1,
    ...(one.target !== undefined && { target: one.target }),
    ...(one.buildArgs !== undefined && { buildArgs: one.buildArgs }),
    ...(one.labels !== undefined && { labels: one.labels }),
    buildContexts: Object.fromEntries(Object.keys(one.contexts ?? {}).map((name) => [name, join(directory, `context-${name}`)])),
    secrets: Object.keys(one.secrets ?? {}).map((id) => ({ id, file: join(directory, `secret-${id}`) })),
  })
  if (result.descriptor === undefined) throw new Error(`the build of ${one.name} has no result`)
  return openImage(cx, store, result.descriptor)
}

/** The image as it lies in the store: nothing but its bytes. */
export async function openBuilt(image: Image): Promise<Built> {
  return {
    config: JSON.parse(Buffer.from(await image.rawConfig(cx)).toString()) as Config,
    layers: image.manifest.layers.map((descriptor) => ({
      mediaType: descriptor.mediaType,
      open: async () => Readable.from(await image.source.open(cx, descriptor)),
    })),
  }
}
