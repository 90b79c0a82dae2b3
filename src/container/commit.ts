import type { Context } from '#context.ts'
import { copy } from '#image/copy.ts'
import { edit, type ImageEdit } from '#image/edit.ts'
import { openImage, type Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import { parseDigest } from '#oci/digest.ts'
import { formatOf, layerMediaType } from '#oci/media-type.ts'
import type { LocalStore } from '#store/open.ts'
import type { ContainerRecord } from './container.ts'
import { mergeEnv } from './spec.ts'
import { lowerTrees, upperTree } from './tree.ts'

export interface CommitOptions {
  /** Normalised. Without one the image is kept under its digest. */
  readonly name?: string
  readonly comment?: string
  readonly author?: string
  /** What is to be different in its config. */
  readonly changes?: ExecutionConfig
}

/**
 * Makes an image of a container: that of the container with one layer more, of all that was written, and with what the
 * container was told to run. What lies in volumes is not in it.
 */
export async function commitContainer(
  cx: Context,
  store: LocalStore,
  container: ContainerRecord,
  options: CommitOptions = {},
): Promise<Image> {
  const base = await openImage(cx, store, container.manifest)
  const { config: before = {} } = await base.config(cx)
  const blob = await store.blobs.temporary()
  try {
    const lowers = await lowerTrees(cx, store, container)
    const made = await store.runner.diff(cx, { upper: upperTree(store, container), lowers, layer: { blob, compression: 'gzip' } })
    const digest = parseDigest(made.digest)
    await store.blobs.adopt(blob, digest, made.size)
    const mediaType = layerMediaType('gzip', formatOf(base.descriptor.mediaType)) as string
    const created = new Date().toISOString()
    const history = {
      created,
      created_by: container.spec.args.join(' '),
      ...(options.author !== undefined && { author: options.author }),
      ...(options.comment !== undefined && { comment: options.comment }),
    }
    const image = await edit(cx, base, {
      created,
      ...(options.author !== undefined && { author: options.author }),
      config: configOf(container, before, options.changes ?? {}),
      add: [{ history, layer: { descriptor: { mediaType, digest, size: made.size }, diffId: parseDigest(made.diffID), source: store } }],
    })
    await copy(cx, image.source, image.descriptor, store, { name: options.name ?? image.descriptor.digest })
    return image
  } catch (error) {
    await store.blobs.discard(blob)
    throw error
  }
}

/** Docker's rule: what the container was started with becomes the image's, and the changes come on top. */
function configOf(container: ContainerRecord, before: ExecutionConfig, changes: ExecutionConfig): NonNullable<ImageEdit['config']> {
  const { spec } = container
  // Made up for each container, unless the image has it.
  const isOwn = (entry: string) => (entry.startsWith('HOSTNAME=') || entry === 'TERM=xterm') && !before.Env?.includes(entry)
  return {
    Env: mergeEnv(
      spec.env.filter((entry) => !isOwn(entry)),
      changes.Env ?? [],
    ),
    Cmd: changes.Cmd ?? container.command,
    Entrypoint: changes.Entrypoint ?? (container.entrypoint.length > 0 ? container.entrypoint : undefined),
    ...(spec.user !== undefined && { User: spec.user }),
    WorkingDir: spec.cwd,
    ...(spec.stopSignal !== undefined && { StopSignal: spec.stopSignal }),
    ...withoutLists(changes),
    Labels: { ...container.labels, ...changes.Labels },
    ...(changes.ExposedPorts && { ExposedPorts: { ...before.ExposedPorts, ...changes.ExposedPorts } }),
    ...(changes.Volumes && { Volumes: { ...before.Volumes, ...changes.Volumes } }),
  }
}

function withoutLists(changes: ExecutionConfig): ExecutionConfig {
  const { Env: _env, Cmd: _cmd, Entrypoint: _entrypoint, ...rest } = changes
  return rest
}
