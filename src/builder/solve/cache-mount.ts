import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Place, Tree } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { RemoteCache } from '../remote.ts'
import type { Session } from '../session.ts'
import type { ExecMount } from '../plan/step.ts'
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { digestHex, digestOf } from '#oci/digest.ts'
import { touchCacheMount } from '#store/cache-files.ts'
import { canonical } from '../plan/key.ts'
import { lock, tryLock } from '#store/lock.ts'

export type CacheMount = ExecMount & { type: 'cache' }

export interface OpenCacheMount extends Disposable {
  readonly place: Place
}

/** One use of a cache mount by a RUN. */
export interface CacheMountUse {
  readonly mount: CacheMount
  /** `BUILDKIT_CACHE_MOUNT_NS`: other namespaces have other directories. */
  readonly namespace: string
  /** What it is filled with when it is made, if no remote cache has something better. */
  readonly from: Tree | undefined
  /** The state that {@link from} is, where it is one. */
  readonly fromId: string
  readonly remote: RemoteCache | undefined
  /** The build, if it takes nothing from the cache: then the first of its steps empties the directory, as with BuildKit. */
  readonly fresh: Pick<Session, 'emptied' | 'disposals'> | undefined
}

/** Which directory a mount is: the same on every machine. `fromId` is the state that it is filled from, if there is one. */
export function cacheMountName({ id, mode, uid, gid, source }: CacheMount, namespace: string, fromId: string | undefined): string {
  return digestHex(digestOf(canonical({ namespace, id, mode, uid, gid, from: fromId === undefined ? undefined : [fromId, source] })))
}

/**
 * The directory of a cache mount, made when it is used first. `locked` waits until nobody else has it; `private` takes
 * another one if somebody has it.
 */
export async function openCacheMount(
  cx: Context,
  store: Store,
  { mount, namespace, from, fromId, remote, fresh }: CacheMountUse,
): Promise<OpenCacheMount> {
  const identity = cacheMountName(mount, namespace, from === undefined ? undefined : fromId)
  const archive = fresh === undefined ? remote?.mount(cx, identity) : undefined
  if (mount.sharing === 'shared') {
    if (fresh !== undefined) putAside(cx, store, identity, fresh)
    await make(cx, store, mount, identity, from, archive)
    return { place: cacheMountPlace(store, identity), [Symbol.dispose]() {} }
  }
  if (mount.sharing === 'locked') {
    const held = await lock(cx, store, `${layout.cacheMount(identity)}.lock`)
    return withLock(held, identity)
  }
  for (let other = 0; ; other++) {
    const name = other === 0 ? identity : `${identity}-${other}`
    const held = tryLock(store, `${layout.cacheMount(name)}.lock`)
    if (held !== undefined) return withLock(held, name)
  }

  async function withLock(held: Disposable, name: string): Promise<OpenCacheMount> {
    try {
      if (fresh !== undefined) putAside(cx, store, name, fresh)
      await make(cx, store, mount, name, from, archive)
      return { place: cacheMountPlace(store, name), [Symbol.dispose]: () => held[Symbol.dispose]() }
    } catch (error) {
      held[Symbol.dispose]()
      throw error
    }
  }
}

export function cacheMountPlace(store: Store, name: string): Place {
  return placeOf(store, layout.cacheMount(name))
}

/**
 * Takes what a cache mount holds out of the way, once in a build. Steps that see it already go on with it: it is removed
 * when this build ends, or, where another process may have it, by the next prune.
 */
function putAside(cx: Context, store: Store, name: string, { emptied, disposals }: Pick<Session, 'emptied' | 'disposals'>): void {
  if (emptied.has(name)) return
  emptied.add(name)
  const since = Date.now()
  const aside = `${name}-${since}`
  try {
    renameSync(pathOf(store, layout.cacheMount(name)), pathOf(store, layout.cacheMount(aside)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  touchCacheMount(store, aside)
  disposals.push(async () => {
    if (store.leases.isShared(since)) return
    await store.runner.remove(cx, { trees: [cacheMountPlace(store, aside)] })
    rmSync(pathOf(store, `${layout.cacheMount(aside)}.used`), { force: true })
  })
}

/** Owner, mode and content are those of the first use. Whoever sees it sees all of it. */
async function make(
  cx: Context,
  store: Store,
  mount: CacheMount,
  name: string,
  from: Tree | undefined,
  archive: (() => Promise<Place | undefined>) | undefined,
): Promise<void> {
  const path = pathOf(store, layout.cacheMount(name))
  mkdirSync(dirname(path), { recursive: true })
  // Before it is looked for: what is used from now on is not pruned.
  touchCacheMount(store, name)
  if (existsSync(path)) return
  using _making = await lock(cx, store, `${layout.cacheMount(name)}.making`)
  if (existsSync(path)) return
  const fresh = `${name}.new`
  const place = cacheMountPlace(store, fresh)
  // What somebody who was killed has left.
  if (existsSync(`${path}.new`)) await store.runner.remove(cx, { trees: [place] })
  const { uid = 0, gid = 0, mode = 0o755, source } = mount
  mkdirSync(`${path}.new`, { recursive: true, mode: 0o755 })
  const file = await archive?.()
  if (file !== undefined) {
    const item = { kind: 'file' as const, name: 'mount.tar', file, mode: 0o644, unpack: true }
    await store.runner.copy(cx, { base: [], items: [item], to: '/', plain: place })
  } else if (from !== undefined) {
    const selection = { from, sources: [source === '/' ? '.' : source], literal: true }
    await store.runner.copy(cx, { base: [], items: [{ kind: 'select', selection }], to: '/', plain: place })
  }
  if (uid === 0 && gid === 0) {
    // Whatever the umask was.
    chmodSync(`${path}.new`, mode)
  } else {
    // In a user namespace only the runner can give things to others.
    const owner = { base: [], items: [{ kind: 'directory' as const }], to: `/${fresh}`, chown: `${uid}:${gid}`, chmod: mode.toString(8) }
    await store.runner.copy(cx, { ...owner, plain: placeOf(store, layout.cacheMounts) })
  }
  renameSync(`${path}.new`, path)
}
