import { layout, pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Addition } from '#image/edit.ts'
import type { Layer } from '#image/image.ts'
import type { Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Plan } from '../plan/plan.ts'
import type { Session } from '../session.ts'
import type { Solution } from '../solve/solve.ts'
import { existsSync } from 'node:fs'
import * as limit from '#limit.ts'
import { checked } from './checked-layer.ts'
import { keepLayer } from '../solve/layer.ts'
import { cacheMountName, cacheMountPlace, type CacheMount } from '../solve/cache-mount.ts'

/** On a layer of a cache's manifest: it is the content of the cache mount of this name. */
const annotation = 'stave.cache.mount'

/** By name. Believed as far as their form goes. */
export function mountsOf(layers: readonly Layer[]): ReadonlyMap<string, Layer> {
  const mounts = new Map<string, Layer>()
  for (const { descriptor, diffId } of layers) {
    const name = descriptor.annotations?.[annotation]
    if (name !== undefined && /^[0-9a-f]{64}$/.test(name) && descriptor.size <= limit.cacheMountBytes)
      mounts.set(name, { descriptor, diffId })
  }
  return mounts
}

/** Brings the content of a mount into the store. A cache that does not give it costs a warning: a mount may be empty. */
export async function fetchMount(cx: Context, store: Store, source: Source, { descriptor, diffId }: Layer): Promise<Place | undefined> {
  try {
    if (!(await store.blobs.has(descriptor.digest, descriptor.size)))
      await store.write(cx, descriptor, checked(descriptor, diffId, await source.open(cx, descriptor)))
    return store.blobs.place(descriptor.digest)
  } catch (error) {
    cx.signal.throwIfAborted()
    const hint = (error as Error).message
    cx.report({ type: 'warning', message: 'cannot take a cache mount from the remote cache: it starts empty', hint })
    return undefined
  }
}

/** A layer for each cache mount of the plans' steps: as it is here now, or, if it is not here, as the cache had it that was read. */
export async function packMounts(cx: Context, session: Session, plans: readonly Plan[], solution: Solution): Promise<readonly Addition[]> {
  const additions: Addition[] = []
  for (const [name, mount] of await mountsIn(session, plans, solution)) {
    try {
      const layer = await packMount(cx, session, name, mount)
      if (layer !== undefined) {
        const descriptor = { ...layer.descriptor, annotations: { [annotation]: name } }
        additions.push({ layer: { descriptor, diffId: layer.diffId, source: layer.source } })
      }
    } catch (error) {
      cx.signal.throwIfAborted()
      cx.report({ type: 'warning', message: `cannot put the cache mount ${mount.id} into the cache`, hint: (error as Error).message })
    }
  }
  return additions
}

async function mountsIn(session: Session, plans: readonly Plan[], solution: Solution): Promise<ReadonlyMap<string, CacheMount>> {
  const namespace = session.options.buildArgs?.['BUILDKIT_CACHE_MOUNT_NS'] ?? ''
  const mounts = new Map<string, CacheMount>()
  for (const step of plans.flatMap(({ steps }) => steps)) {
    for (const mount of step.op.kind === 'exec' ? step.op.mounts : []) {
      if (mount.type === 'cache') {
        const input = mount.input === undefined ? undefined : await solution.state(step.inputs[mount.input])
        mounts.set(cacheMountName(mount, namespace, input === undefined ? undefined : input.kind === 'state' ? await input.id : ''), mount)
      }
    }
  }
  return mounts
}

async function packMount(
  cx: Context,
  session: Session,
  name: string,
  mount: CacheMount,
): Promise<(Layer & { readonly source: Source }) | undefined> {
  const { store } = session
  if (!existsSync(pathOf(store, layout.cacheMount(name)))) return session.remote?.mountLayer(name)
  const selection = { from: { kind: 'directory' as const, root: cacheMountPlace(store, name) }, sources: ['.'], literal: true }
  const {
    selections: [size],
  } = await store.runner.digest(cx, { selections: [{ selection }] })
  if (size === undefined || size.entries === 0) return undefined
  if (size.bytes > limit.cacheMountBytes) {
    const message = `the cache mount ${mount.id} is left out of the cache: it has ${size.bytes} bytes, and ${limit.cacheMountBytes} is the most`
    cx.report({ type: 'warning', message })
    return undefined
  }
  const blob = await store.blobs.temporary()
  try {
    const output = { compression: 'gzip' as const, level: 1 }
    const made = await store.runner.copy(cx, { base: [], items: [{ kind: 'select', selection }], to: '/', layer: { ...output, blob } })
    return made.layer === undefined ? undefined : { ...(await keepLayer(store, blob, made.layer, output)), source: store }
  } catch (error) {
    await store.blobs.discard(blob)
    throw error
  }
}
