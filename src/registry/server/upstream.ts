import { type Context, withSignal } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { isTag } from '#oci/reference.ts'
import type { Registry, RegistryClient } from '../client/registry.ts'
import { Refusal } from './answer.ts'
import { beginDownload, type Download } from './download.ts'
import type { Manifests } from './manifests.ts'
import type { Metrics } from './metrics.ts'
import type { Storage } from './storage.ts'
import type { Usage } from './usage.ts'

/** A registry whose content is fetched when it is asked for, and kept. */
export interface Upstream {
  /** Repositories below this, without it, are the upstream's. Empty: all that no other one has. */
  readonly prefix: string
  /** `docker.io`, `127.0.0.1:5000` */
  readonly registry: string
  /** Before the names of its repositories; may be empty. */
  readonly path: string
}

export interface UpstreamOptions {
  /** Several with one prefix are asked in turn: who is not there, or does not have it, is passed over. */
  readonly from: readonly Upstream[]
  /** With the credentials for them, which clients of this server never see, nor theirs the upstream. */
  readonly client: RegistryClient
}

/** One repository as it is kept here, and where it comes from. */
export interface Origin {
  readonly repository: string
  /** What to send back in `OCI-Namespace`: the `ns` of the request, if it chose. */
  readonly namespace: string | undefined
  /** Sees to it that a manifest is here, if an upstream has it; a tag leads to what it leads to there. @throws Refusal 502 */
  manifest(name: string): Promise<void>
  /** A blob that is not here yet. Undefined: no upstream has it. */
  blob(digest: Digest): Promise<Download | undefined>
  blobSize(digest: Digest): Promise<number | undefined>
  /** Undefined: no upstream answers. */
  tags(): Promise<readonly string[] | undefined>
  /** Brings the list of what refers to a manifest up to date. */
  referrers(subject: Digest): Promise<void>
}

export interface PullThrough extends Disposable {
  /** Undefined for a repository of this server's own. */
  origin(repository: string, namespace: string | undefined): Origin | undefined
}

interface Parts {
  readonly cx: Context
  readonly storage: Storage
  readonly usage: Usage | undefined
  readonly manifests: Manifests
  readonly metrics: Metrics
  readonly options: UpstreamOptions
  readonly downloads: Map<string, Promise<Download | undefined>>
  readonly underWay: Map<string, Promise<void>>
  /** Until when an upstream that could not be reached is not asked for what is here. */
  readonly down: Map<string, number>
}

const downMs = 30_000

/** @see distribution-spec, "Registry Proxying" */
export function createPullThrough(
  options: UpstreamOptions,
  parts: Pick<Parts, 'cx' | 'storage' | 'usage' | 'manifests' | 'metrics'>,
): PullThrough {
  const stop = new AbortController()
  const all: Parts = {
    ...parts,
    cx: withSignal(parts.cx, stop.signal),
    options,
    downloads: new Map(),
    underWay: new Map(),
    down: new Map(),
  }
  return {
    origin(repository, namespace) {
      const chosen = namespace === undefined ? [] : options.from.filter(({ registry }) => registry === namespace)
      if (chosen.length > 0) {
        const [{ prefix }] = chosen as [Upstream]
        const sources = chosen.filter((upstream) => upstream.prefix === prefix).map((upstream) => sourceOf(upstream, repository))
        return createOrigin(all, joined(prefix, repository), sources, namespace)
      }
      const prefixes = [...new Set(options.from.map(({ prefix }) => prefix))].toSorted((a, b) => b.length - a.length)
      const prefix = prefixes.find((each) => each === '' || repository.startsWith(`${each}/`))
      if (prefix === undefined) return undefined
      const rest = prefix === '' ? repository : repository.slice(prefix.length + 1)
      const sources = options.from.filter((upstream) => upstream.prefix === prefix).map((upstream) => sourceOf(upstream, rest))
      return createOrigin(all, repository, sources, undefined)
    },
    [Symbol.dispose]: () => stop.abort(),
  }
}

/** A repository of an upstream. */
interface SourceRepository {
  readonly registry: string
  readonly repository: string
}

function sourceOf({ registry, path }: Upstream, rest: string): SourceRepository {
  // As Docker Hub's own names are written in short.
  const isShort = registry === 'docker.io' && path === '' && !rest.includes('/')
  return { registry, repository: joined(isShort ? 'library' : path, rest) }
}

function joined(before: string, name: string): string {
  return before === '' ? name : `${before}/${name}`
}

function createOrigin(parts: Parts, repository: string, sources: readonly SourceRepository[], namespace: string | undefined): Origin {
  const { cx, storage, manifests, metrics } = parts
  const hit = (outcome: 'hit' | 'miss' | 'stale') => metrics.count('stave_registry_upstream_total', { outcome })
  const ask = <T>(isHere: boolean, act: (registry: Registry) => Promise<T>) => askInTurn(parts, sources, isHere, act)

  async function fetchManifest(registry: Registry, what: Descriptor): Promise<void> {
    await manifests.keep(repository, what.digest, what.mediaType, await readAll(cx, registry, what, limit.manifestBytes))
  }

  async function byTag(tag: string): Promise<void> {
    const known = await storage.readTag(repository, tag)
    const answer = await ask(known !== undefined, async (registry) => {
      // A HEAD costs no pull where pulls are counted.
      const what = (await registry.describe(cx, tag)) ?? (await registry.resolve(cx, tag))
      const isHere = (await storage.manifestType(repository, what.digest)) !== undefined
      if (!isHere) await fetchManifest(registry, what)
      if (known !== what.digest) await storage.putTag(repository, tag, what.digest)
      return isHere ? ('hit' as const) : ('miss' as const)
    })
    if (answer.kind === 'found') return hit(answer.value)
    if (answer.kind === 'absent') return void (await storage.deleteTag(repository, tag))
    if (known === undefined) throw answer.refusal
    hit('stale')
  }

  async function byDigest(digest: Digest): Promise<void> {
    if ((await storage.manifestType(repository, digest)) !== undefined) return hit('hit')
    const answer = await ask(false, async (registry) => fetchManifest(registry, await registry.resolve(cx, digest)))
    if (answer.kind === 'silent') throw answer.refusal
    if (answer.kind === 'found') hit('miss')
  }

  async function fetchBlob(digest: Digest): Promise<Download | undefined> {
    const answer = await ask(false, async (registry) => {
      const what = await registry.describeBlob(cx, digest)
      // Another repository may have brought it: that this one has it too, the upstream has just said.
      const other = await storage.findBlob(digest, () => true)
      if (other !== undefined && (await storage.mountBlob(repository, digest, other))) return undefined
      parts.usage?.check(repository, what.size)
      return beginDownload(cx, { storage, usage: parts.usage, repository }, what, await registry.open(cx, what), registry.title)
    })
    if (answer.kind === 'silent') throw answer.refusal
    if (answer.kind === 'found') hit('miss')
    return answer.kind === 'found' ? answer.value : undefined
  }

  return {
    repository,
    namespace,
    manifest: (name) =>
      once(parts.underWay, `${repository}@${name}`, async () => (isDigest(name) ? byDigest(name) : isTag(name) ? byTag(name) : undefined)),
    async blob(digest) {
      const key = `${repository}@${digest}`
      const running = parts.downloads.get(key)
      if (running !== undefined) return running
      const download = fetchBlob(digest)
      parts.downloads.set(key, download)
      const forget = () => void parts.downloads.delete(key)
      void download.then((begun) => (begun === undefined ? forget() : begun.done.then(forget, forget)), forget)
      return download
    },
    async blobSize(digest) {
      const answer = await ask(false, async (registry) => (await registry.describeBlob(cx, digest)).size)
      if (answer.kind === 'silent') throw answer.refusal
      return answer.kind === 'found' ? answer.value : undefined
    },
    async tags() {
      const answer = await ask((await storage.listTags(repository)) !== undefined, (registry) => registry.listTags(cx))
      return answer.kind === 'found' ? answer.value : answer.kind === 'absent' ? [] : undefined
    },
    async referrers(subject) {
      const answer = await ask(true, (registry) => registry.referrers(cx, subject))
      if (answer.kind !== 'found') return
      const listed = new Map(answer.value.map((descriptor) => [descriptor.digest, descriptor]))
      for (const old of await storage.listReferrers(repository, subject))
        if (!listed.has(old)) await storage.deleteReferrer(repository, subject, old)
      for (const [digest, descriptor] of listed) await storage.addReferrer(repository, subject, digest, descriptor)
    },
  }
}

/** Whoever asks for the same thing meanwhile waits for the one answer. */
async function once(underWay: Map<string, Promise<void>>, key: string, act: () => Promise<void>): Promise<void> {
  let running = underWay.get(key)
  if (running === undefined) {
    running = act().finally(() => underWay.delete(key))
    underWay.set(key, running)
  }
  await running
}

type Asked<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'absent' }
  /** None has it, and at least one could not be asked. */
  | { readonly kind: 'silent'; readonly refusal: Refusal }

/** Asks the upstreams in turn, until one has it. @param isHere An answer can be given without them */
async function askInTurn<T>(
  { options, down }: Parts,
  sources: readonly SourceRepository[],
  isHere: boolean,
  act: (registry: Registry) => Promise<T>,
): Promise<Asked<T>> {
  let refusal: Refusal | undefined
  for (const source of sources) {
    if (isHere && (down.get(source.registry) ?? 0) > Date.now()) {
      refusal ??= refusalOf(source, undefined)
      continue
    }
    try {
      const value = await act(options.client.open(source))
      down.delete(source.registry)
      return { kind: 'found', value }
    } catch (error) {
      if (!(error instanceof StaveError)) throw error
      // Registries that want a password say so of what they do not have, too.
      if (hasCode(error, 'not-found', 'blob-unknown', 'unauthorized', 'denied')) continue
      if (hasCode(error, 'network', 'timeout', 'tls')) down.set(source.registry, Date.now() + downMs)
      refusal ??= refusalOf(source, error)
    }
  }
  return refusal === undefined ? { kind: 'absent' } : { kind: 'silent', refusal }
}

/** What went wrong is not told in the upstream's words: they may name what only this server may know. */
function refusalOf({ registry }: SourceRepository, error: StaveError | undefined): Refusal {
  if (hasCode(error, 'too-many-requests')) return new Refusal(429, 'TOOMANYREQUESTS', `${registry} takes no more requests for now`)
  if (hasCode(error, 'digest-mismatch', 'size-mismatch', 'invalid-document'))
    return new Refusal(502, 'MANIFEST_INVALID', `${registry} sends something else than it says`)
  return new Refusal(502, 'UNKNOWN', `${registry} cannot be reached, and this is not kept here`)
}
