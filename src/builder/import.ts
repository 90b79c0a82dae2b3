import { pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { Store } from '#store/store.ts'
import { readSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { edit } from '#image/edit.ts'
import { isoTime } from './result/assemble.ts'
import { looksLikeArchive } from './input/archive-head.ts'
import { keepLayer } from './solve/layer.ts'
import { plan } from './plan/plan.ts'
import { makesLayer } from './plan/step.ts'

export interface ImportOptions {
  readonly store: Store
  /** An open file, or a stream. */
  readonly tar: number | Readable
  /** What a person would call it, for messages and the history. */
  readonly title: string
  readonly platform: Platform
  /** Dockerfile instructions that only change the config. */
  readonly changes?: readonly string[]
  readonly comment?: string
  /** Normalised. */
  readonly name?: string
  readonly epoch?: number
}

/**
 * Makes an image with one layer of a tar of a root file system, and puts it into the store.
 *
 * @throws StaveError `invalid-layer` if it is no tar, `dockerfile` for a change that is none
 */
export async function importImage(cx: Context, options: ImportOptions): Promise<Image> {
  const { store, platform, epoch, title } = options
  const config = changedConfig(options.changes ?? [], platform)
  await using held = new AsyncDisposableStack()
  let file
  if (typeof options.tar === 'number') {
    file = { fd: options.tar }
    checkHead(options.tar, title)
  } else {
    const { receive } = await import('./input/fetch.ts')
    const received = held.use(await receive(store, options.tar, title))
    file = received.file
    const { openSync, closeSync } = await import('node:fs')
    const fd = openSync(pathOf(store, received.file.path), 'r')
    held.defer(() => closeSync(fd))
    checkHead(fd, title)
  }
  const blob = await store.blobs.temporary()
  held.defer(() => store.blobs.discard(blob))
  const clamp = epoch === undefined ? {} : { epoch }
  const result = await store.runner.copy(cx, {
    base: [],
    items: [{ kind: 'file', name: 'rootfs.tar', file, mode: 0o644, unpack: true }],
    to: '/',
    layer: { blob, compression: 'gzip', ...clamp },
    ...clamp,
  })
  if (result.layer === undefined) throw new StaveError('runner', `cannot import ${title}: the runner made no layer`)
  const layer = await keepLayer(store, blob, result.layer, { compression: 'gzip' })
  const created = isoTime(epoch === undefined ? Date.now() : epoch * 1000)
  const history = { created, created_by: `import ${title}`, comment: options.comment ?? 'stave import' }
  const image = await edit(cx, undefined, {
    platform,
    created,
    config,
    add: [{ history, layer: { descriptor: layer.descriptor, diffId: layer.diffId, source: store } }],
  })
  await copy(cx, image.source, image.descriptor, store, { name: options.name ?? image.descriptor.digest })
  return image
}

/**
 * What Dockerfile instructions change of a config, and no more: what every stage begins with is left out.
 *
 * @throws StaveError `dockerfile` for one that makes a layer
 */
export function changesOfConfig(changes: readonly string[], platform: Platform): ExecutionConfig {
  const plain: Readonly<Record<string, unknown>> = changedConfig([], platform)
  const changed = changedConfig(changes, platform)
  const given = Object.entries(changed).filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(plain[field]))
  const { Env: before = [] } = plain as ExecutionConfig
  const { Env: env, ...rest } = Object.fromEntries(given) as ExecutionConfig
  return env === undefined ? rest : { ...rest, Env: env.filter((entry) => !before.includes(entry)) }
}

function changedConfig(changes: readonly string[], platform: Platform): Record<string, unknown> {
  const dockerfile = parseDockerfile(['FROM scratch', ...changes].join('\n'), { file: '--change' })
  const planned = plan(
    dockerfile,
    {
      buildArgs: new Map(),
      targetPlatform: platform,
      buildPlatform: platform,
      contexts: new Map(),
      noCache: false,
      network: 'host',
      hosts: [],
      allow: [],
      isLocal: true,
    },
    new Map(),
  )
  if (!('plan' in planned)) throw new StaveError('dockerfile', 'cannot apply the changes: they name another image')
  const { stage, steps } = planned.plan
  const refused = steps.find(
    (step) => makesLayer(step) && !(step.op.kind === 'copy' && step.op.items.every(({ kind }) => kind === 'directory')),
  )
  if (refused !== undefined || stage.index > 0) {
    throw new StaveError('dockerfile', 'cannot apply the changes: only instructions that change the config are allowed', {
      hint: 'CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR.',
      ...(refused?.span !== undefined && { span: refused.span }),
    })
  }
  return { ...stage.config }
}

function checkHead(fd: number, title: string): void {
  const buffer = Buffer.alloc(512)
  if (!looksLikeArchive(buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0))))
    throw new StaveError('invalid-layer', `cannot import ${title}: it is no tar`, { hint: 'Make one with: tar -C ROOT -cf rootfs.tar .' })
}
