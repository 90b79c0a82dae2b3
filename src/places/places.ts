import type { Context } from '#context.ts'
import { hasCode } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'
import type { Registry, RegistryClient } from '#registry/client/registry.ts'
import { createFiles, openFiles, refuseExisting, temporaryOf, type Surroundings } from './files.ts'
import { parseLocation, type Location } from './location.ts'

export interface OpenSource {
  readonly source: Source
  /** What to `resolve` in it. */
  readonly name: string
}

export interface OpenTarget {
  readonly target: Target
  /** The name that the content gets; undefined: none. */
  readonly name: string | undefined
}

/** What turns names into places. */
export interface NamedPlaces {
  /** Opens for reading what is written as `docker://docker.io/library/debian:12`, `oci:DIR:TAG`, `oci-archive:…`. */
  source(cx: Context, location: string): Promise<OpenSource>
  /** The same for writing. */
  target(cx: Context, location: string): Promise<OpenTarget>
}

/** Turns what people write into places. Close it when all that came from it is done. */
export interface Places extends NamedPlaces, AsyncDisposable {
  source(cx: Context, location: string | Location): Promise<OpenSource>
  target(cx: Context, location: string | Location): Promise<OpenTarget>
  registry(reference: Reference): Promise<Registry>
  client(): Promise<RegistryClient>
}

/** Lets out of a place only what may be used of it. */
export type Guard = <S extends Source>(source: S, location: Location) => S

export interface Means extends Surroundings {
  /** Opened when a registry is named, once. It is closed with the places. */
  readonly client: () => Promise<RegistryClient>
  /** Opened when the store is named. It stays the caller's. */
  readonly store: () => Promise<Target>
  /** The address of the Docker daemon that a location means. Undefined: none. */
  readonly daemon?: (location: Location) => string | undefined
  /** Asked for when something is read that is not in the store: what is there was let in. */
  readonly guard?: () => Promise<Guard | undefined>
}

/** Opens places of all transports: this is the one switch over them, with {@link openFiles} for those on this machine. */
export function openPlaces(means: Means): Places {
  let client: Promise<RegistryClient> | undefined
  let guard: Promise<Guard | undefined> | undefined
  const opened = new AsyncDisposableStack()
  const locate = (text: string | Location): Location => (typeof text === 'string' ? parseLocation(text) : text)
  const places: Places = {
    client: () => (client ??= means.client()),
    async registry(reference) {
      return (await places.client()).open(reference)
    },
    async source(cx, text) {
      const location = locate(text)
      if (location.transport === 'store' && means.daemon?.(location) === undefined)
        return { source: await means.store(), name: location.name }
      const found = await find(cx, location)
      if (location.transport !== 'docker') opened.use(found.source)
      guard ??= means.guard?.()
      const guarded = (await guard)?.(found.source, location)
      return guarded === undefined ? found : { ...found, source: guarded }
    },
    async target(cx, text) {
      const location = locate(text)
      if (location.transport === 'store') {
        const name = formatReference(parseReference(location.name))
        const host = means.daemon?.(location)
        if (host === undefined) return { target: await means.store(), name }
        const { createDaemonImage } = await import('#archive/daemon.ts')
        return { target: opened.use(await createDaemonImage(cx, host, name)), name }
      }
      if (location.transport === 'docker') {
        const reference = parseReference(location.name)
        return { target: await places.registry(reference), name: reference.tag ?? reference.digest }
      }
      refuseExisting(location, means.cwd)
      const made = await createFiles(location, means)
      opened.use(made.target)
      return made
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync()
      // Who asked for a client that could not be opened was told why.
      const opening = await client?.catch(() => undefined)
      await opening?.[Symbol.asyncDispose]()
    },
  }
  return places

  /** Where a location of the store is found, it is that of a daemon. */
  async function find(cx: Context, location: Location): Promise<OpenSource> {
    if (location.transport === 'docker') return inRegistry(location.name)
    if (location.transport !== 'store') return openFiles(cx, location, means)
    const { openDaemonImage } = await import('#archive/daemon.ts')
    return { source: await orLeave(openDaemonImage(cx, means.daemon!(location)!, location.name, temporaryOf(means))), name: '' }
  }

  async function inRegistry(name: string): Promise<OpenSource> {
    const reference = parseReference(name)
    return { source: await places.registry(reference), name: reference.digest ?? reference.tag ?? 'latest' }
  }
}

/** What a name stands for. That there is no such image is what scripts ask for, so it has the exit status that skopeo gives it. */
export async function resolveOrLeave(cx: Context, source: Source, name: string): Promise<Descriptor> {
  return orLeave(source.resolve(cx, name))
}

async function orLeave<T>(finding: Promise<T>): Promise<T> {
  try {
    return await finding
  } catch (error) {
    throw hasCode(error, 'not-found') ? error.with({ exitCode: 2 }) : error
  }
}
