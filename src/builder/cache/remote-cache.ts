import type { Context } from '#context.ts'
import type { Layer } from '#image/image.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { BuildOptions, CacheBackend } from '../options.ts'
import type { Plan } from '../plan/plan.ts'
import type { Session } from '../session.ts'
import type { RemoteCache } from '../remote.ts'
import type { Solution } from '../solve/solve.ts'
import type { BuiltLayer } from '../solved.ts'
import { withSignal } from '#context.ts'
import { StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { edit } from '#image/edit.ts'
import { readManifest, view } from '#image/image.ts'
import { withStep } from '#image/step.ts'
import { parseDigest, type Digest } from '#oci/digest.ts'
import { isForeignLayer, isLayer } from '#oci/media-type.ts'
import { combine, type CacheDocument, type OpenCache } from './combine.ts'
import { mountsOf, packMounts } from './remote-mounts.ts'
import { withoutStall } from './stall.ts'
import { resolve } from 'node:path'
import { keyVersion } from '../plan/key.ts'
import { makesLayer } from '../plan/step.ts'

/**
 * A remote cache is a plain image: its layers are what steps made, and a field of its config says which key each has.
 * Every registry takes it, and it can be a part of the built image itself (`inline`).
 */
export const cacheField = 'stave.cache'

const defaultTimeoutMs = 10_000
/** Writing a cache may stand still for longer than looking into one may take: registries are slow at the end of a blob. */
const stallFactor = 3

/** Opens the caches, all at once. One that does not answer in time, or that nobody understands, is left out with a warning. */
export async function openRemoteCache(cx: Context, options: BuildOptions): Promise<RemoteCache> {
  const timed = withSignal(cx, AbortSignal.timeout(options.cacheTimeoutMs ?? defaultTimeoutMs))
  const opened = await Promise.all(
    (options.cacheFrom ?? []).map(async (backend): Promise<readonly OpenCache[]> => {
      try {
        return await openOne(timed, options, backend)
      } catch (error) {
        cx.signal.throwIfAborted()
        const hint = timed.signal.aborted ? 'It did not answer in time.' : (error as Error).message
        cx.report({ type: 'warning', message: `cannot use the cache ${titleOf(backend)}`, hint })
        return []
      }
    }),
  )
  return combine(options, opened.flat())
}

function titleOf(backend: CacheBackend): string {
  return backend.type === 'registry' ? backend.ref : backend.type === 'local' ? backend.path : 'in the image'
}

function locationOf(options: BuildOptions, backend: Exclude<CacheBackend, { type: 'inline' }>): string {
  return backend.type === 'registry' ? `docker://${backend.ref}` : `oci:${resolve(options.cwd, backend.path)}:${backend.tag ?? 'latest'}`
}

async function openOne(cx: Context, options: BuildOptions, backend: CacheBackend): Promise<readonly OpenCache[]> {
  if (backend.type === 'inline') {
    throw new StaveError('usage', 'cannot read an inline cache without the name of an image', {
      hint: 'Write --cache-from type=registry,ref=NAME.',
    })
  }
  const { source, name } = await options.places.source(cx, locationOf(options, backend))
  const root = await readManifest(cx, source, await source.resolve(cx, name))
  const manifests =
    root.kind === 'manifest' ? [root] : await Promise.all(root.index.manifests.map((entry) => readManifest(cx, source, entry)))
  const caches: OpenCache[] = []
  for (const document of manifests) {
    if (document.kind !== 'manifest') continue
    const image = view(source, document.descriptor, document.manifest, document.raw)
    const config = JSON.parse(new TextDecoder().decode(await image.rawConfig(cx))) as Record<string, unknown>
    const records = decodeCache(config[cacheField])
    if (records !== undefined) {
      caches.push({
        title: titleOf(backend),
        source,
        document: records,
        layers: new Map(document.manifest.layers.filter(isUsable).map((layer) => [layer.digest, layer] as const)),
        mounts: mountsOf((await image.layers(cx)).filter(({ descriptor }) => isUsable(descriptor))),
      })
    }
  }
  return caches
}

/** Layers that a registry does not have itself would be asked of whomever they name. */
function isUsable({ mediaType, urls }: Descriptor): boolean {
  return isLayer(mediaType) && !isForeignLayer(mediaType) && urls === undefined
}

/** Believes nothing: of what has not the form, nothing is used. */
function decodeCache(value: unknown): CacheDocument | undefined {
  const document = value as Partial<CacheDocument> | undefined
  if (document === null || typeof document !== 'object' || document.version !== keyVersion || !Array.isArray(document.records))
    return undefined
  const records = (document.records as CacheDocument['records']).filter((record) => {
    try {
      parseDigest(record.key)
      if (record.layer !== undefined) {
        parseDigest(record.layer.digest)
        parseDigest(record.layer.diffID)
        parseDigest(record.layer.treeDigest)
      }
      return !Number.isNaN(Date.parse(record.created))
    } catch {
      return false
    }
  })
  return {
    version: keyVersion,
    records,
    selections: Object.fromEntries(Object.entries(document.selections ?? {}).filter((pair) => pair.every(isDigest))),
  }
}

function isDigest(text: unknown): text is Digest {
  try {
    parseDigest(text as string)
    return true
  } catch {
    return false
  }
}

/**
 * What is known of the steps, for a cache, with the layers of all (`max`) or of those that are in the image (`min`).
 * The names of what the others made are enough to find the steps that come after them.
 */
export async function cacheDocument(
  session: Session,
  plan: Plan,
  solution: Solution,
  mode: 'min' | 'max',
): Promise<{ document: CacheDocument; layers: readonly BuiltLayer[] }> {
  const layers = new Map<Digest, BuiltLayer>()
  const records: CacheDocument['records'][number][] = []
  const own = new Set(plan.stage.history.flatMap(({ step }) => (step === undefined ? [] : [step])))
  for (const step of plan.steps) {
    const key = session.keys.get(step.id)
    if (!makesLayer(step) || key === undefined) continue
    const state = await solution.state(step)
    const { promise } = state
    if (promise !== undefined) {
      // Passed on as it was said: the names of the steps after it are made of it, even if it was executed since.
      const { created, digest, diffID, treeDigest } = promise
      records.push({ key: key.key, created, layer: { digest, diffID, treeDigest } })
      continue
    }
    const layer = await state.layer
    if (layer === undefined) {
      records.push({ key: key.key, created: new Date().toISOString() })
      continue
    }
    const { diffId, treeDigest, descriptor, createdAt } = layer
    if (mode === 'max' || own.has(step)) layers.set(descriptor.digest, layer)
    records.push({
      key: key.key,
      created: createdAt.toISOString(),
      layer: { digest: descriptor.digest, diffID: diffId, treeDigest },
    })
  }
  return {
    document: { version: keyVersion, records, selections: Object.fromEntries(session.digests.selections) },
    layers: [...layers.values()],
  }
}

/** Writes `--cache-to`. A cache that cannot be written is a warning: the build has its result. */
export async function exportCaches(cx: Context, session: Session, plans: readonly Plan[], solution: Solution): Promise<void> {
  const { options } = session
  for (const backend of options.cacheTo ?? []) {
    if (backend.type === 'inline') continue
    const title = titleOf(backend)
    const id = `cache ${title}`
    try {
      await withStep(cx, { id, title: `writing the cache ${title}` }, () => exportOne(cx, session, plans, solution, backend, id))
    } catch (error) {
      cx.signal.throwIfAborted()
      if (backend.optional !== true) throw error
      cx.report({ type: 'warning', message: `cannot write the cache ${title}`, hint: (error as Error).message })
    }
  }
}

async function exportOne(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  solution: Solution,
  backend: Exclude<CacheBackend, { type: 'inline' }>,
  id: string,
): Promise<void> {
  const { options, store, remote } = session
  const records = new Map<Digest, CacheDocument['records'][number]>()
  const layers = new Map<Digest, BuiltLayer>()
  for (const plan of plans) {
    const part = await cacheDocument(session, plan, solution, backend.mode ?? 'min')
    part.document.records.forEach((record) => records.set(record.key, record))
    part.layers.forEach((layer) => layers.set(layer.descriptor.digest, layer))
  }
  const document: CacheDocument = {
    version: keyVersion,
    records: [...records.values()],
    selections: Object.fromEntries(session.digests.selections),
  }
  const first = plans[0] as Plan
  const image = await edit(cx, undefined, {
    platform: first.stage.platform,
    extra: { [cacheField]: document },
    add: [
      ...[...layers.values()].map(({ descriptor, diffId }: Layer) => ({
        layer: {
          descriptor,
          diffId,
          source: store.file?.(descriptor) === undefined ? (remote?.source(descriptor.digest) ?? store) : store,
        },
      })),
      ...(backend.mounts === true ? await packMounts(cx, session, plans, solution) : []),
    ],
  })
  const { target, name } = await options.places.target(cx, locationOf(options, backend))
  await withoutStall(cx, stallFactor * (options.cacheTimeoutMs ?? defaultTimeoutMs), (watched) =>
    copy(watched, image.source, image.descriptor, target, { parent: id, stepPrefix: id, ...(name !== undefined && { name }) }),
  )
}
